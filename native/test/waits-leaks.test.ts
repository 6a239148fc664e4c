import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import {
  connectUnix,
  listenVsock,
  processIdentity,
  waitForSocket,
  waitForVsock,
  type ProcessIdentity,
  type WaitOptions,
} from '../dist/index.js';
import { openDescriptors, temporaryFolder, threadName, threads } from './fixture.js';
import { VsockDevice } from './vsock-device.js';

const ROUNDS = 1000;
const PORT = 52;
const WARM_UP = 20;

function ourIdentity(): ProcessIdentity {
  const identity = processIdentity(process.pid);
  if (identity === undefined) throw new Error('this process has no identity');
  return identity;
}

/** Each second round is aborted, a little later each time. */
function sometimesAborted(round: number): WaitOptions {
  if (round % 2 === 0) return {};
  const controller = new AbortController();
  void (async () => {
    for (let turns = 0; turns < (round >> 1) % 5; ++turns) await turn();
    controller.abort();
  })();
  return { signal: controller.signal };
}

/** Closes what it yields; counts what came of it. */
async function settle(call: Promise<Socket>, outcomes: Map<string, number>): Promise<void> {
  const outcome = await call.then(
    async (socket) => {
      socket.destroy();
      await once(socket, 'close');
      return 'connected';
    },
    (error: Error & { code?: string }) => (error.name === 'AbortError' ? 'aborted' : String(error.code)),
  );
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
}

async function expectNoLeak(
  device: VsockDevice | undefined,
  round: (index: number, outcomes: Map<string, number>) => Promise<void>,
): Promise<Record<string, number>> {
  const outcomes = new Map<string, number>();
  // The stand-in of Firecracker closes its ends a little later than we do ours.
  const held = async (): Promise<unknown> => {
    await expect.poll(() => device?.open ?? 0).toBe(0);
    // A thread of the short calls waits a tenth of a second for the next one.
    await expect.poll(() => threads().map(threadName)).not.toContain('mvm-call');
    return { descriptors: openDescriptors(), threads: threads().length };
  };
  for (let index = 0; index < WARM_UP; ++index) await round(index, new Map());
  const before = await held();
  for (let index = 0; index < ROUNDS; ++index) await round(index, outcomes);
  expect(await held()).toEqual(before);
  return Object.fromEntries(outcomes);
}

test('waitForSocket leaves nothing, aborted or not', async () => {
  const device = await VsockDevice.listen(join(temporaryFolder(), 's'));
  device.boot();
  const process_ = ourIdentity();
  const outcomes = await expectNoLeak(device, async (index, counts) => {
    const path = index % 3 === 0 ? join(device.path, '..', 'no', 'socket') : device.path;
    const options = { path, process: process_, deadline: 3, ...sometimesAborted(index) };
    await settle(waitForSocket(options), counts);
  });
  for (const outcome of ['connected', 'aborted', 'ETIMEDOUT']) expect(outcomes[outcome]).toBeGreaterThan(0);
});

test('waitForVsock leaves nothing in any case, aborted or not', async () => {
  const folder = temporaryFolder();
  const up = await VsockDevice.listen(join(folder, 'up'));
  up.serve(PORT, (socket) => socket.end('OK 1\n').resume());
  up.boot();
  const process_ = ourIdentity();
  const closedPort = PORT + 1;
  const cases = [
    { path: up.path, port: PORT },
    { path: up.path, port: closedPort, deadline: 5 },
    { path: join(folder, 'none'), port: PORT, deadline: 2 },
  ];
  const outcomes = await expectNoLeak(up, async (index, counts) => {
    const chosen = cases[index % cases.length] ?? { path: up.path, port: PORT };
    await settle(waitForVsock({ process: process_, ...chosen, ...sometimesAborted(index) }), counts);
  });
  for (const outcome of ['connected', 'aborted', 'ETIMEDOUT']) expect(outcomes[outcome]).toBeGreaterThan(0);
});

test('waitForVsock leaves nothing when nobody answers', async () => {
  const silent = await VsockDevice.listen(join(temporaryFolder(), 'silent'));
  const outcomes = await expectNoLeak(silent, async (index, counts) => {
    await settle(
      waitForVsock({ path: silent.path, port: PORT, deadline: 2, ...sometimesAborted(index) }),
      counts,
    );
    silent.drop();
  });
  expect(outcomes['ETIMEDOUT']).toBeGreaterThanOrEqual(ROUNDS / 2);
});

test('listenVsock and accept leave nothing, aborted or not', async () => {
  const folder = temporaryFolder();
  const process_ = ourIdentity();
  const outcomes = await expectNoLeak(undefined, async (index, counts) => {
    const options = { path: join(folder, 'v'), port: PORT, ...(index % 2 === 0 ? {} : sometimesAborted(1)) };
    const listening = await listenVsock(options).catch(() => undefined);
    if (listening === undefined) return;
    const accepting = settle(listening.accept({ process: process_, ...sometimesAborted(index) }), counts);
    if (index % 3 === 0) await listening.close();
    else await settle(waitForSocket({ path: listening.path }), new Map());
    await accepting;
    await listening.close();
  });
  for (const outcome of ['connected', 'EBADF']) expect(outcomes[outcome]).toBeGreaterThan(0);
  expect(readdirSync(folder)).toEqual([]);
});

test('accept on one listener leaves nothing, aborted or not', async () => {
  const listening = await listenVsock({ path: join(temporaryFolder(), 'v'), port: PORT });
  const outcomes = await expectNoLeak(undefined, async (index, counts) => {
    const accepting = settle(listening.accept({ deadline: 20, ...sometimesAborted(index) }), counts);
    await settle(waitForSocket({ path: listening.path }), new Map());
    await accepting;
    // What an aborted accept left in the queue.
    while (index % 2 === 1 && (await listening.accept({ deadline: 1 }).then(close, () => false)));
  });
  for (const outcome of ['connected', 'aborted']) expect(outcomes[outcome]).toBeGreaterThan(0);
  await listening.close();
  await expect(connectUnix(listening.path)).rejects.toMatchObject({ code: 'ENOENT' });
});

function close(socket: Socket): boolean {
  socket.destroy();
  return true;
}
