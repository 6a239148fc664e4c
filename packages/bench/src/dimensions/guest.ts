import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Duplex } from 'node:stream';
import { MIB, type Guest } from '@microvm/runtime';
import { GuestFloor, runAtOnce } from '../by-hand/guest.js';
import { collectGarbage } from '../collect-garbage.js';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { openFirecracker } from '../firecracker-lives.js';
import { doubles } from '../firecracker-programs.js';
import { interleave, timeMs } from '../interleave.js';
import { summarize } from '../statistics.js';
import { TemporaryFolder } from '../temporary-folder.js';

const US_PER_MS = 1000;
const KIB = 1024;
const IN_GUEST = { noop: '/run/noop', floor: '/run/floor-guest', echo: '/run/echo.sock' };
const PIECE = Buffer.alloc(64 * KIB);

/** A guest on the double, with the floor's programs in it. */
interface Bench extends BenchRun {
  readonly guest: Guest;
  readonly floor: GuestFloor;
}

type Pair = readonly [ours: () => Promise<number>, theirs: () => Promise<number>];

async function inPairs({ quick, log }: BenchRun, name: string, [ours, theirs]: Pair) {
  const pairs = quick ? 2 : 15;
  const onPair = (done: number, total: number) => log(`guest: ${name}: pair ${done} of ${total}`);
  return interleave(ours, theirs, { pairs, warmups: quick ? 0 : 3, onPair });
}

/** The median of one call after the other, in microseconds. */
async function medianUs(times: number, call: () => Promise<unknown>): Promise<number> {
  const samples: number[] = [];
  for (let left = times; left > 0; left -= 1) samples.push((await timeMs(call)) * US_PER_MS);
  return summarize(samples).median;
}

async function execRows(bench: Bench): Promise<readonly Measurement[]> {
  const { quick, guest, floor } = bench;
  const [times, atOnce] = quick ? [10, 10] : [200, 200];
  const socket = await floor.connect(await floor.serve('exec', floor.noop));
  const exec = (): Promise<unknown> => guest.exec({ argv: [IN_GUEST.noop], input: '' }).result;
  const one = await inPairs(bench, 'exec', [
    () => medianUs(times, exec),
    () => medianUs(times, () => runAtOnce(socket, 1)),
  ]);
  const many = await inPairs(bench, `${atOnce} execs`, [
    () => timeMs(() => Promise.all(Array.from({ length: atOnce }, exec))),
    () => timeMs(() => runAtOnce(socket, atOnce)),
  ]);
  socket.destroy();
  const theirs = 'posix_spawn by a C server on a stream';
  return [
    {
      name: 'exec of a static no-op, one after the other',
      unit: 'µs',
      ours: { label: 'guest.exec, median', samples: one.ours },
      theirs: { label: theirs, samples: one.theirs },
      aim: { kind: 'ratio', atMost: 1.3 },
      parameters: { times },
    },
    {
      name: `${atOnce} execs at once`,
      unit: 'ms',
      ours: { label: 'guest.exec', samples: many.ours },
      theirs: { label: theirs, samples: many.theirs },
      aim: { kind: 'ratio', atMost: 1.5 },
      parameters: { atOnce },
    },
  ];
}

async function roundTrip(socket: Duplex): Promise<void> {
  const answer = once(socket, 'data');
  socket.write('x');
  await answer;
}

/** Sends so much, and takes it back. */
async function sendThrough(socket: Duplex, bytes: number): Promise<void> {
  let left = bytes;
  const back = new Promise<void>((resolve) => {
    const take = (data: Buffer): void => {
      left -= data.length;
      if (left > 0) return;
      socket.off('data', take);
      resolve();
    };
    socket.on('data', take);
  });
  for (let sent = 0; sent < bytes; sent += PIECE.length)
    if (!socket.write(PIECE)) await once(socket, 'drain');
  await back;
}

async function connectionRows(bench: Bench): Promise<readonly Measurement[]> {
  const { quick, guest, floor } = bench;
  const echo = await floor.serve('echo');
  const server = guest.exec({ argv: [IN_GUEST.floor, 'echo', IN_GUEST.echo] });
  // It says that it listens.
  await server[Symbol.asyncIterator]().next();
  const ours = await guest.connect({ path: IN_GUEST.echo });
  const theirs = await floor.connect(await floor.serve('relay', echo));
  const [times, bytes] = quick ? [10, MIB] : [1000, 256 * MIB];
  const trips = await inPairs(bench, 'round trips', [
    () => medianUs(times, () => roundTrip(ours)),
    () => medianUs(times, () => roundTrip(theirs)),
  ]);
  const bulk = await inPairs(bench, 'bytes', [
    () => timeMs(() => sendThrough(ours, bytes)),
    () => timeMs(() => sendThrough(theirs, bytes)),
  ]);
  ours.destroy();
  theirs.destroy();
  return [
    {
      name: 'a byte through a connection to an echo, and back',
      unit: 'µs',
      ours: { label: 'guest.connect, median', samples: trips.ours },
      theirs: { label: 'a relay in C', samples: trips.theirs },
      aim: { kind: 'ratio', atMost: 1.5 },
      parameters: { times },
    },
    {
      name: `${bytes / MIB} MiB through a connection to an echo, and back`,
      unit: 'ms',
      ours: { label: 'guest.connect', samples: bulk.ours },
      theirs: { label: 'a relay in C', samples: bulk.theirs },
      aim: { kind: 'ratio', atMost: 1.25 },
      parameters: { bytes },
    },
  ];
}

/** What this process holds more while a command's output waits for a reader who rests now and then. */
async function slowReaderRow({ quick, guest, log }: Bench): Promise<Measurement> {
  const bytes = (quick ? 4 : 1024) * MIB;
  log(`guest: ${bytes / MIB} MiB to a slow reader`);
  collectGarbage();
  const before = process.memoryUsage().rss;
  let most = before;
  let taken = 0;
  const command = guest.exec({
    argv: ['head', '-c', String(bytes), '/dev/zero'],
    input: '',
  });
  for await (const { data } of command) {
    taken += data.length;
    most = Math.max(most, process.memoryUsage.rss());
    if (taken % (32 * data.length) < data.length) await delay(1);
  }
  if (taken !== bytes) throw new Error(`${taken} bytes of ${bytes} came`);
  return {
    name: `memory while ${bytes / MIB} MiB go to a slow reader`,
    unit: 'MiB',
    ours: { label: 'resident, more than idle', samples: [(most - before) / MIB] },
    aim: { kind: 'value', atMost: 16 },
    parameters: { bytes },
  };
}

async function slopeRow({ quick, guest, log }: Bench): Promise<Measurement> {
  const [first, all] = quick ? [10, 20] : [1000, 10_000];
  log(`guest: ${all} execs`);
  const heap = (): number => {
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  let before = 0;
  for (let done = 0; done < all; done += 1) {
    if (done === first) before = heap();
    await guest.exec({ argv: [IN_GUEST.noop], input: '' }).result;
  }
  return {
    name: `memory for each of ${all} execs, after the first ${first}`,
    unit: 'KiB',
    ours: { label: 'heap and buffers', samples: [(heap() - before) / (all - first) / KIB] },
    // A hundred bytes each would be what is kept of each; less is what the collector leaves now and then.
    aim: { kind: 'value', atMost: 0.1 },
    parameters: { first, all },
  };
}

async function guestRows(run: BenchRun): Promise<readonly Measurement[]> {
  await using folder = await TemporaryFolder.make();
  await using floor = await GuestFloor.compile(folder.path);
  const runtime = await openFirecracker(doubles(), join(folder.path, 'state'), {
    jail: false,
    agent: 'required',
  });
  try {
    await runtime.createVm('a');
    await runtime.startVm('a');
    const guest = await runtime.guest('a');
    for (const name of ['noop', 'program'] as const) {
      const path = name === 'noop' ? IN_GUEST.noop : IN_GUEST.floor;
      await guest.files.writeFile(path, await readFile(floor[name]), { mode: 0o755 });
    }
    const bench: Bench = { ...run, floor, guest };
    const rows = [...(await execRows(bench)), ...(await connectionRows(bench))];
    return [...rows, await slowReaderRow(bench), await slopeRow(bench)];
  } finally {
    await runtime.destroyVm('a');
    await runtime.close();
  }
}

export const guest: Dimension = {
  name: 'guest',
  description: 'Commands and connections of a guest against the least that can stand at the other end.',
  execArgv: ['--expose-gc'],
  needsQemu: false,
  run: guestRows,
};
