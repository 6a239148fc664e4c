import { closeSync } from 'node:fs';
import { mkdir, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as native from '@microvm/native';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { interleave } from '../interleave.js';
import { SocketPeer } from '../socket-peer.js';
import { TemporaryFolder } from '../temporary-folder.js';

const AT_ONCE = 100;
/** The idle loop is watched for as long, so that the 99th percentiles are of as many turns. */
const TICK_MS = 1;
const PERCENTILE = 0.99;

type Call = (folder: string, index: number) => Promise<unknown>;

/** One of each kind: what has a thread of its own, what uses the pool, what waits. */
const KINDS: Readonly<Record<string, Call>> = {
  spawnProcess: async () => (await native.spawnProcess({ file: '/bin/true' })).ref().exited,
  findProcesses: () => native.findProcesses('no such process, surely'),
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
  listenUnix: async (folder, index) => {
    const path = join(folder, `socket-${String(index)}`);
    closeSync(await native.listenUnix(path));
    await unlink(path);
  },
  waitForSocket: async (folder) => {
    (await native.waitForSocket({ path: join(folder, 'server') })).destroy();
  },
  probeHost: (folder) => native.probeHost({ paths: [folder] }),
  listLinks: () => native.listLinks(),
  createNetns: async (folder, index) => {
    const path = join(folder, `netns-${String(index)}`);
    await native.createNetns(path);
    await native.deleteNetns(path);
  },
};

/**
 * The delay of a timer of one millisecond at the 99th percentile, while the work is in flight or for as long as an idle loop
 * takes for `ticks` turns.
 */
async function delayP99(until: { readonly ticks: number } | { readonly work: Promise<unknown> }): Promise<{
  readonly p99Ms: number;
  readonly ticks: number;
}> {
  const delays: number[] = [];
  let isOver = false;
  if ('work' in until) void until.work.finally(() => (isOver = true)).catch(() => undefined);
  let last = performance.now();
  while (!isOver && !('ticks' in until && delays.length >= until.ticks)) {
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    const now = performance.now();
    delays.push(Math.max(0, now - last - TICK_MS));
    last = now;
  }
  if ('work' in until) await until.work;
  delays.sort((a, b) => a - b);
  return { p99Ms: delays[Math.floor(delays.length * PERCENTILE)] ?? 0, ticks: delays.length };
}

async function measureKind(folder: string, call: Call, rounds: number) {
  let ticks = 1;
  // A hundred are always in flight: each lane starts its next call when one has ended.
  const busy = async (): Promise<number> => {
    const lanes = Array.from({ length: AT_ONCE }, async (_, index) => {
      for (let round = 0; round < rounds; round += 1) await call(folder, index);
    });
    const measured = await delayP99({ work: Promise.all(lanes) });
    ticks = Math.max(measured.ticks, 100);
    return measured.p99Ms;
  };
  const idle = async (): Promise<number> => (await delayP99({ ticks })).p99Ms;
  return { busy, idle };
}

async function eventLoopRows({ quick, log }: BenchRun): Promise<readonly Measurement[]> {
  await using folder = await TemporaryFolder.make();
  await writeFile(join(folder.path, 'source'), Buffer.alloc(1 << 20, 'x'), { mode: 0o444 });
  await mkdir(join(folder.path, 'jail'));
  using _peer = await SocketPeer.listen(join(folder.path, 'server'));
  const rows: Measurement[] = [];
  const [pairs, rounds] = quick ? [1, 1] : [7, 4];
  for (const [kind, call] of Object.entries(KINDS)) {
    log(`native-event-loop: ${kind}`);
    const { busy, idle } = await measureKind(folder.path, call, rounds);
    const samples = await interleave(busy, idle, { pairs, warmups: 1 });
    rows.push({
      name: `event-loop delay p99, ${String(AT_ONCE)} × ${kind} in flight`,
      unit: 'ms',
      ours: { label: 'busy', samples: samples.ours },
      theirs: { label: 'idle', samples: samples.theirs },
      aim: { kind: 'difference', atMost: 5 },
      parameters: { atOnce: AT_ONCE, rounds, pairs },
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
