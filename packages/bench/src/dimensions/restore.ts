import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { interleave, timeMs } from '../interleave.js';
import { QemuBench } from '../qemu-bench.js';

const MEM_SIZE_MIB = 128;

async function restoreRows({ quick, log }: BenchRun): Promise<readonly Measurement[]> {
  await using bench = await QemuBench.open({ memSizeMib: MEM_SIZE_MIB });
  const snapshotUid = await bench.snapshotOfBooted();
  const pairs = quick ? 2 : 10;
  const sampler = (come: () => Promise<string>) => async () => {
    let vm = '';
    const tookMs = await timeMs(async () => (vm = await come()));
    await bench.destroy(vm);
    return tookMs;
  };
  const samples = await interleave(
    sampler(() => bench.restoreToExec(snapshotUid)),
    sampler(() => bench.bootToExec()),
    // The first restore of a snapshot also reads its digests; later ones on the same host do not.
    { pairs, warmups: 1, onPair: (done, total) => log(`restore: pair ${done} of ${total}`) },
  );
  return [
    {
      name: 'restore to first exec',
      unit: 'ms',
      ours: { label: 'restore, exec', samples: samples.ours },
      theirs: { label: 'cold boot, exec', samples: samples.theirs },
      aim: { kind: 'ratio', atMost: 0.1 },
      parameters: { memSizeMib: MEM_SIZE_MIB, pairs },
    },
  ];
}

export const restore: Dimension = {
  name: 'restore',
  description: 'Restore of a memory snapshot to the first command’s exit code, against a cold boot.',
  needsQemu: true,
  run: restoreRows,
};
