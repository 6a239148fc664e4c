import { randomUUID } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as native from '@microvm/native';
import { MIB } from '@microvm/runtime';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { interleave } from '../interleave.js';
import { SocketPeer } from '../socket-peer.js';
import { quantile } from '../statistics.js';
import { TemporaryFolder } from '../temporary-folder.js';

const AT_ONCE = 100;
const TICK_MS = 1;
const PERCENTILE = 0.99;

/** What a call made and the benchmark takes away again, once nothing is measured any more. */
type Undo = () => unknown;

type Call = (folder: string, index: number, later: (undo: Undo) => void) => Promise<unknown>;

/** One of each kind: what has a thread of its own, what uses the pool, what waits. */
const KINDS: Readonly<Record<string, Call>> = {
  spawnProcess: async () => (await native.spawnProcess({ file: '/bin/true' })).ref().exited,
  searchProcesses: () => native.searchProcesses({ argument: 'no such process, surely' }),
  lockDirectory: async (folder, index) => {
    const path = join(folder, `lock-${String(index)}`);
    await mkdir(path, { recursive: true });
    (await native.lockDirectory(path)).release();
  },
  writeDurable: (folder, index) => native.writeDurable(join(folder, `durable-${String(index)}`), 'x'),
  copyFile: (folder, index) => native.copyFile(join(folder, 'source'), join(folder, `copy-${String(index)}`)),
  digestFile: (folder) => native.digestFile(join(folder, 'source')),
  stageJail: async (folder, index) => {
    const name = join(folder, 'jail', String(index));
    const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const shared = [{ name: 'kernel', from: join(folder, 'source') }];
    await native.stageJail({ root: join(name, 'root'), ...owner, shared });
    await native.removeTree(name);
  },
  listenUnix: async (folder, _index, later) => {
    const path = join(folder, `socket-${randomUUID()}`);
    const fd = await native.listenUnix(path);
    later(() => native.closeDescriptor(fd));
    later(() => unlinkSync(path));
  },
  waitForSocket: async (folder) => {
    (await native.waitForSocket({ path: join(folder, 'server') })).destroy();
  },
  listLinks: () => native.listLinks(),
  createNetns: async (folder, index) => {
    const path = join(folder, `netns-${String(index)}`);
    await native.createNetns(path);
    await native.deleteNetns(path);
  },
};

/** The delay of a timer of one millisecond at the 99th percentile of so many turns. */
async function delayP99(ticks: number): Promise<number> {
  const delays: number[] = [];
  let last = performance.now();
  while (delays.length < ticks) {
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    const now = performance.now();
    delays.push(Math.max(0, now - last - TICK_MS));
    last = now;
  }
  return quantile(
    delays.toSorted((x, y) => x - y),
    PERCENTILE,
  );
}

/** The delay while a hundred are always in flight: each lane starts its next call when one has ended. */
async function busyDelay(folder: string, call: Call, ticks: number): Promise<number> {
  let isOver = false;
  const undos: Undo[] = [];
  const delay = delayP99(ticks).finally(() => (isOver = true));
  const lanes = Array.from({ length: AT_ONCE }, async (_, index) => {
    do await call(folder, index, (undo) => undos.push(undo));
    while (!isOver);
  });
  await Promise.all(lanes);
  for (const undo of undos) undo();
  return delay;
}

async function eventLoopRows({ quick, log }: BenchRun): Promise<readonly Measurement[]> {
  await using folder = await TemporaryFolder.make();
  await writeFile(join(folder.path, 'source'), Buffer.alloc(MIB, 'x'), { mode: 0o444 });
  await mkdir(join(folder.path, 'jail'));
  using _peer = await SocketPeer.listen(join(folder.path, 'server'));
  const rows: Measurement[] = [];
  const [pairs, ticks] = quick ? [1, 20] : [7, 300];
  for (const [kind, call] of Object.entries(KINDS)) {
    log(`native-event-loop: ${kind}`);
    const busy = (): Promise<number> => busyDelay(folder.path, call, ticks);
    const samples = await interleave(busy, () => delayP99(ticks), { pairs, warmups: 1 });
    rows.push({
      name: `event-loop delay p99, ${String(AT_ONCE)} × ${kind} in flight`,
      unit: 'ms',
      ours: { label: 'busy', samples: samples.ours },
      theirs: { label: 'idle', samples: samples.theirs },
      aim: { kind: 'difference', atMost: 5 },
      parameters: { atOnce: AT_ONCE, ticks, pairs },
    });
  }
  return rows;
}

export const nativeEventLoop: Dimension = {
  name: 'native-event-loop',
  description:
    'How late the event loop is with a hundred calls of each kind in flight, against the idle loop.',
  needsQemu: false,
  run: eventLoopRows,
};
