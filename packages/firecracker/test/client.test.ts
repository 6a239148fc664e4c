import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { ApiClient } from '../src/api/client.js';
import type { ApiRequest } from '../src/api/wire.js';

const DONE = 'HTTP/1.1 204 \r\nConnection: keep-alive\r\n\r\n';
const requestTo = (path: string): ApiRequest => ({ method: 'PUT', path, body: {} });
const pathsIn = (text: string): string[] =>
  [...text.matchAll(/PUT (\S+) HTTP/g)].map(([, path = '']) => path);

/** A server that answers when it is told to, and the client of it. */
async function connect() {
  const folder = await mkdtemp(join(tmpdir(), 'api-client-'));
  const path = join(folder, 'api.sock');
  const chunks: string[] = [];
  const connections: Socket[] = [];
  const server = createServer((socket) => {
    connections.push(socket);
    socket.on('data', (chunk) => chunks.push(chunk.toString()));
  }).listen(path);
  await once(server, 'listening');
  const client = new ApiClient({
    connect: async () => {
      const socket = createConnection(path);
      await once(socket, 'connect');
      return socket;
    },
    exited: new Promise(() => undefined),
  });
  onTestFinished(async () => {
    client.close();
    for (const socket of connections) socket.destroy();
    server.close();
    await rm(folder, { recursive: true });
  });
  return { client, chunks, answer: (count = 1) => connections[0]?.write(DONE.repeat(count)) };
}

it('sends what waits for the connection, and for no answer, in one write and in order', async () => {
  const { client, chunks, answer } = await connect();
  const paths = ['/machine-config', '/boot-source', '/drives/root'];
  const answers = paths.map((path) => client.send(requestTo(path), { waits: false }));
  await vi.waitFor(() => expect(chunks).not.toEqual([]));
  expect(pathsIn(String(chunks[0]))).toEqual(paths);
  answer(paths.length);
  await Promise.all(answers);
});

it('sends any other request when the answers to those before it have come', async () => {
  const { client, chunks, answer } = await connect();
  const first = client.send(requestTo('/first'));
  const second = client.send(requestTo('/second'));
  await vi.waitFor(() => expect(chunks).toHaveLength(1));
  expect(pathsIn(chunks.join(''))).toEqual(['/first']);
  answer();
  await first;
  await vi.waitFor(() => expect(pathsIn(chunks.join(''))).toEqual(['/first', '/second']));
  answer();
  await second;
});
