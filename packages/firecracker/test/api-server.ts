import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ApiClient } from '../src/api/client.js';

const DONE = 'HTTP/1.1 204 \r\nConnection: keep-alive\r\n\r\n';

/** A server on a unix socket that says what a test tells it to, and the client of it. */
export async function connectApi() {
  const folder = await mkdtemp(join(tmpdir(), 'api-client-'));
  const path = join(folder, 'api.sock');
  const chunks: string[] = [];
  const connections: Socket[] = [];
  const server = createServer((socket) => {
    connections.push(socket);
    socket.on('data', (chunk) => chunks.push(chunk.toString()));
    socket.on('error', () => socket.destroy());
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
  return {
    client,
    /** What was received, by chunks. */
    chunks,
    connections,
    answer: (count = 1) => connections[0]?.write(DONE.repeat(count)),
  };
}
