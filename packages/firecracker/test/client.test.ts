import { expect, it } from 'vitest';
import type { ApiRequest } from '../src/api/wire.js';
import { connectApi } from './api-server.js';

const requestTo = (path: string): ApiRequest => ({ method: 'PUT', path, body: {} });
const pathsIn = (text: string): string[] =>
  [...text.matchAll(/PUT (\S+) HTTP/g)].map(([, path = '']) => path);

it('sends what waits for the connection, and for no answer, in one write and in order', async () => {
  const { client, chunks, answer } = await connectApi();
  const paths = ['/machine-config', '/boot-source', '/drives/root'];
  const answers = paths.map((path) => client.send(requestTo(path), { waits: false }));
  await expect.poll(() => chunks).not.toEqual([]);
  expect(pathsIn(String(chunks[0]))).toEqual(paths);
  answer(paths.length);
  await Promise.all(answers);
});

it('sends any other request when the answers to those before it have come', async () => {
  const { client, chunks, answer } = await connectApi();
  const first = client.send(requestTo('/first'));
  const second = client.send(requestTo('/second'));
  await expect.poll(() => chunks).toHaveLength(1);
  expect(pathsIn(chunks.join(''))).toEqual(['/first']);
  answer();
  await first;
  await expect.poll(() => pathsIn(chunks.join(''))).toEqual(['/first', '/second']);
  answer();
  await second;
});
