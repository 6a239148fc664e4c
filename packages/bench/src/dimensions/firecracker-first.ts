import type { PhaseTimes } from '../by-hand/firecracker.js';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { FirecrackerBench } from '../firecracker-bench.js';
import { findFirecracker } from '../firecracker-programs.js';
import { runFresh } from '../fresh-process.js';
import { interleave } from '../interleave.js';

const BOOT_PHASES = ['create', 'start', 'pause', 'resume', 'destroy'];

/**
 * What the first user of a process waits for: no code of ours is compiled yet, and the file system is ext4,
 * as most are. Each sample is a new process of ours; its start and the opening of the runtime do not count.
 */
async function firstRows({ quick, log }: BenchRun): Promise<readonly Measurement[]> {
  await using bench = await FirecrackerBench.open(await findFirecracker(), 'ext4');
  const { snapshotUid, ...state } = await bench.handOver();
  const life = async (uid: string | undefined): Promise<PhaseTimes> =>
    new Map(await runFresh('first-life', { ...state, snapshotUid: uid }));
  const pairs = quick ? 1 : 6;
  const sides = (name: string, ours: () => Promise<PhaseTimes>, theirs: () => Promise<PhaseTimes>) =>
    interleave(ours, theirs, {
      pairs,
      warmups: 0,
      onPair: (done, total) => log(`firecracker-first: ${name} ${String(done)} of ${String(total)}`),
    });
  const boots = await sides(
    'boot',
    () => life(undefined),
    () => bench.bootByHand(1),
  );
  const restores = await sides(
    'restore',
    () => life(snapshotUid),
    () => bench.restoreByHand(1),
  );
  const row = (phase: string, { ours, theirs }: typeof boots): Measurement => ({
    name: `${phase}, first VM of a process, ext4`,
    unit: 'ms',
    ours: { label: 'our runtime', samples: ours.map((times) => times.get(phase) ?? Number.NaN) },
    theirs: { label: 'bare C client', samples: theirs.map((times) => times.get(phase) ?? Number.NaN) },
    aim: { kind: 'report' },
    parameters: { firecracker: bench.programs.version, recordBytes: bench.recordBytes, pairs },
  });
  return [...BOOT_PHASES.map((phase) => row(phase, boots)), row('restore', restores)];
}

export const firecrackerFirst: Dimension = {
  name: 'firecracker-first',
  description: 'The first VM of a fresh process, on ext4, against the bare C client.',
  needsQemu: false,
  run: firstRows,
};
