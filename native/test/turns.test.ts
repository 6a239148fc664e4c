import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { waitForSocket } from '../dist/index.js';
import { runNode, temporaryFolder } from './fixture.js';

const CALLS = 200;
const MOST_IN_ONE_TURN = 16;

/** Holds up the loop until what other threads do has ended. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

test('calls that have ended at once come a few in each turn of the loop, in their order', async () => {
  const path = join(temporaryFolder(), 's');
  const server = createServer((socket) => socket.resume()).listen(path);
  await once(server, 'listening');
  const ended: number[] = [];
  const all = Promise.all(
    Array.from({ length: CALLS }, async (_, index) => {
      const socket = await waitForSocket({ path });
      ended.push(index);
      socket.destroy();
    }),
  );
  block(300);
  let inOneTurn = 0;
  while (ended.length < CALLS) {
    const before = ended.length;
    await new Promise((resolve) => setImmediate(resolve));
    inOneTurn = Math.max(inOneTurn, ended.length - before);
  }
  await all;
  server.close();
  expect(inOneTurn).toBeLessThanOrEqual(MOST_IN_ONE_TURN);
  expect(ended).toEqual(Array.from(ended.keys()));
});

test('a fake clock that is there before the first call holds up nothing', async () => {
  const { finished } = runNode(
    `globalThis.setImmediate = () => undefined;
     await Promise.all(Array.from({ length: 50 }, () => native.searchProcesses({ argument: 'no such process, surely' })));
     console.log('all');`,
    [],
  );
  expect(await finished).toEqual({ code: 0, signal: null, output: 'all\n' });
});
