import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInMemoryRuntime } from '@microvm/in-memory';
import * as native from '@microvm/native';
import { openRuntime } from '@microvm/runtime';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { recordingHost, removeByHand, writeByHand, type RecordedWrite } from '../by-hand/record-writes.js';
import { interleave, timeMs } from '../interleave.js';
import { atOnce, liveOnce } from '../lifecycle.js';
import { NullDriver } from '../null-driver.js';
import { TemporaryFolder } from '../temporary-folder.js';

/** Lifecycles per second of the engine and a driver that does nothing, when nothing is kept. */
async function volatileRow({ quick }: BenchRun, workers: number): Promise<Measurement> {
  const lives = quick ? 200 : 2000;
  const rounds = quick ? 2 : 10;
  const runtime = await createInMemoryRuntime();
  const round = async () => {
    const tookMs = await timeMs(() =>
      atOnce(lives, workers, (index) => liveOnce(runtime, `vm-${String(index)}`)),
    );
    return (lives / tookMs) * 1000;
  };
  try {
    await round();
    const samples: number[] = [];
    while (samples.length < rounds) samples.push(await round());
    return {
      name: `lifecycles without a journal, ${String(workers)} at once`,
      unit: 'per s',
      ours: { label: 'create, start, stop, destroy, forget', samples },
      aim: { kind: 'report' },
      parameters: { lives, workers },
    };
  } finally {
    await runtime.close();
  }
}

/** The same with a journal, against writing as many files of the same sizes by hand. */
async function journalRow({ quick, log }: BenchRun, workers: number): Promise<Measurement> {
  await using folder = await TemporaryFolder.make();
  // As many for each worker, so that none is idle at the end.
  const lives = workers === 1 ? (quick ? 10 : 20) : workers * (quick ? 1 : 3);
  const pairs = quick ? 2 : 20;
  const writes: RecordedWrite[] = [];
  const hostCalls = recordingHost(native, writes);
  const runtime = await openRuntime({
    driver: new NullDriver(),
    stateDir: join(folder.path, 'state'),
    hostCalls,
  });
  const live = () => atOnce(lives, workers, (index) => liveOnce(runtime, `vm-${String(index)}`));
  try {
    writes.length = 0;
    await live();
    const perRound = [...writes];
    const samples = await interleave(
      () => timeMs(live),
      () => timeMs(() => writeAllByHand(folder.path, perRound, workers)),
      {
        pairs,
        warmups: 1,
        onPair: (done, total) => log(`journal: pair ${String(done)} of ${String(total)}`),
      },
    );
    return journalMeasurement({ samples, lives, workers, pairs, writes: perRound });
  } finally {
    await runtime.close();
  }
}

/**
 * As many workers as the engine had lifecycles at once, each on a file of its own, one write after the other.
 */
async function writeAllByHand(
  folder: string,
  writes: readonly RecordedWrite[],
  workers: number,
): Promise<void> {
  const shares = Array.from({ length: workers }, (_, worker) =>
    writes.filter((_write, index) => index % workers === worker),
  );
  await Promise.all(
    shares.map(async (share, worker) => {
      // A folder of its own, like a VM's record: its fsync is a write of its own too.
      const own = join(folder, `by-hand-${String(worker)}`);
      await mkdir(own, { recursive: true });
      const path = join(own, 'record.json');
      let isThere = false;
      for (const write of share) {
        if (write.kind === 'remove' && isThere) {
          await removeByHand(path);
          isThere = false;
        } else {
          await writeByHand(path, Buffer.alloc(write.kind === 'write' ? write.sizeBytes : 0, 0x20));
          isThere = true;
        }
      }
    }),
  );
}

interface JournalSamples {
  readonly samples: { readonly ours: number[]; readonly theirs: number[] };
  readonly lives: number;
  readonly workers: number;
  readonly pairs: number;
  readonly writes: readonly RecordedWrite[];
}

function journalMeasurement({ samples, lives, workers, pairs, writes }: JournalSamples): Measurement {
  const sizes = writes.flatMap((write) => (write.kind === 'write' ? [write.sizeBytes] : []));
  return {
    name: `${String(lives)} lifecycles with a journal, ${String(workers)} at once`,
    unit: 'ms',
    ours: { label: `${(writes.length / lives).toFixed(1)} durable changes each`, samples: samples.ours },
    theirs: { label: 'the same writes and fsyncs in a bare loop', samples: samples.theirs },
    aim: { kind: 'ratio', atMost: 1.5 },
    parameters: {
      lives,
      workers,
      pairs,
      changes: writes.length,
      writtenBytes: sizes.reduce((sum, size) => sum + size, 0),
    },
  };
}

async function lifecycleRows(run: BenchRun): Promise<readonly Measurement[]> {
  return [
    await volatileRow(run, 1),
    await volatileRow(run, 64),
    await journalRow(run, 1),
    await journalRow(run, 16),
  ];
}

export const lifecycle: Dimension = {
  name: 'lifecycle',
  description:
    'Full lifecycles of the engine alone, without a journal, and with one against bare fsynced writes.',
  needsQemu: false,
  run: lifecycleRows,
};
