import type { PhaseTimes } from '../by-hand/firecracker.js';
import { Bystander } from '../bystander.js';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { FirecrackerBench } from '../firecracker-bench.js';
import { findFirecracker } from '../firecracker-programs.js';
import { runFresh } from '../fresh-process.js';
import { interleave } from '../interleave.js';
import { LOOP_DELAY_RESOLUTION_MS, LoopDelay } from '../loop-delay.js';

/** Of each phase: what it may take of the floor's time. */
const AIMS: Readonly<Record<string, number>> = {
  create: 1.5,
  restore: 1.3,
  start: 1.5,
  pause: 1.5,
  resume: 1.5,
  destroy: 2,
};
const NAMES: Readonly<Record<string, string>> = {
  create: 'spawn and configure',
  restore: 'restore and resume',
  destroy: 'destroy, verified, with jail',
};

interface Samples {
  readonly ours: readonly PhaseTimes[];
  readonly theirs: readonly PhaseTimes[];
}

async function sample(
  { quick, log }: BenchRun,
  name: string,
  vms: number,
  [ours, theirs]: readonly [() => Promise<PhaseTimes>, () => Promise<PhaseTimes>],
): Promise<Samples> {
  const [pairs, warmups] = quick ? [2, 1] : vms === 1 ? [30, 30] : [10, 30];
  const onPair = (done: number, total: number) =>
    log(`firecracker: ${name}, ${String(vms)} at once: pair ${String(done)} of ${String(total)}`);
  return interleave(ours, theirs, { pairs, warmups, onPair });
}

function of(times: readonly PhaseTimes[], phase: string): number[] {
  return times.map((phases) => phases.get(phase) ?? Number.NaN);
}

function phaseRow(
  { ours, theirs }: Samples,
  phase: string,
  vms: number,
  parameters: Measurement['parameters'],
): Measurement {
  return {
    name: `${NAMES[phase] ?? phase}, ${String(vms)} at once`,
    unit: 'ms',
    ours: { label: 'our runtime', samples: of(ours, phase) },
    theirs: { label: 'bare C client', samples: of(theirs, phase) },
    aim: { kind: 'ratio', atMost: AIMS[phase] ?? Number.NaN },
    parameters: { ...parameters, vms, pairs: ours.length },
  };
}

/**
 * What our process adds to a verb: more than the floor, in units of one record write, taken in the same
 * lives.
 */
function addedRow(
  { ours, theirs }: Samples,
  phase: string,
  parameters: Measurement['parameters'],
): Measurement {
  const write = of(theirs, 'rename');
  // A rename is one record write and nothing else.
  const floor = of(theirs, phase);
  const samples = of(ours, phase).map(
    (took, index) => (took - (floor[index] ?? NaN)) / (write[index] ?? NaN),
  );
  return {
    name: `${phase}: added by our process`,
    unit: 'record writes',
    ours: { label: 'more than the floor', samples },
    aim: { kind: 'report' },
    parameters,
  };
}

async function verbRows(run: BenchRun, bench: FirecrackerBench): Promise<readonly Measurement[]> {
  const rows: Measurement[] = [];
  const added: Measurement[] = [];
  const parameters = { firecracker: bench.programs.version, recordBytes: bench.recordBytes };
  for (const vms of [1, run.quick ? 4 : 50]) {
    const boots = await sample(run, 'boot', vms, [() => bench.boot(vms), () => bench.bootByHand(vms)]);
    const restores = await sample(run, 'restore', vms, [
      () => bench.restore(vms),
      () => bench.restoreByHand(vms),
    ]);
    rows.push(phaseRow(boots, 'create', vms, parameters), phaseRow(restores, 'restore', vms, parameters));
    for (const phase of ['start', 'pause', 'resume', 'destroy'])
      rows.push(phaseRow(boots, phase, vms, parameters));
    if (vms > 1) continue;
    for (const phase of ['create', 'start', 'pause', 'resume', 'rename', 'destroy'])
      added.push(addedRow(boots, phase, parameters));
    added.push(addedRow(restores, 'restore', parameters));
  }
  return [...rows, ...added];
}

/**
 * The delay of our event loop in a burst of ours, and that of a bystander's in the same burst by the floor.
 */
async function burstRow({ quick, log }: BenchRun, bench: FirecrackerBench): Promise<Measurement> {
  const creates = quick ? 8 : 100;
  const ours = async (): Promise<number> => {
    const delay = new LoopDelay();
    await bench.createMany(creates);
    const delayMs = delay.end();
    await bench.eraseMany(creates);
    return delayMs;
  };
  const theirs = async (): Promise<number> => {
    using bystander = await Bystander.start();
    let delayMs: Promise<number> | undefined;
    await bench.createByHand(creates, () => {
      delayMs = bystander.end();
    });
    return (await delayMs) ?? Number.NaN;
  };
  const samples = await interleave(ours, theirs, {
    pairs: quick ? 1 : 5,
    warmups: quick ? 0 : 1,
    onPair: (done, total) => log(`firecracker: burst ${String(done)} of ${String(total)}`),
  });
  return {
    name: `event-loop delay, p99, in a burst of ${String(creates)} creates`,
    unit: 'ms',
    ours: { label: 'our process, which makes them', samples: samples.ours },
    theirs: { label: 'a bystander, while the C client makes them', samples: samples.theirs },
    aim: { kind: 'report' },
    parameters: { creates, resolutionMs: LOOP_DELAY_RESOLUTION_MS },
  };
}

async function fleetRows({ quick, log }: BenchRun): Promise<readonly Measurement[]> {
  const vms = quick ? 20 : 1000;
  const opens = quick ? 2 : 10;
  log(`firecracker: ${String(vms)} VMs on the doubles`);
  const { kibPerVm, openMs, readMs } = await runFresh('firecracker-fleet', { vms, opens }, ['--expose-gc']);
  return [
    {
      name: `resident memory of ours per VM at ${String(vms)} VMs`,
      unit: 'KiB',
      ours: { label: 'running doubles, a process of its own', samples: [kibPerVm] },
      aim: { kind: 'value', atMost: 64 },
      parameters: { vms },
    },
    {
      name: `open a state directory with ${String(vms)} VMs`,
      unit: 'ms',
      ours: { label: 'inspect the host, lock, load, recover', samples: openMs },
      theirs: { label: 'read and parse the same files', samples: readMs },
      aim: { kind: 'ratio', atMost: 2 },
      parameters: { vms, pairs: opens },
    },
  ];
}

async function firecrackerRows(run: BenchRun): Promise<readonly Measurement[]> {
  await using bench = await FirecrackerBench.open(await findFirecracker());
  return [...(await verbRows(run, bench)), await burstRow(run, bench), ...(await fleetRows(run))];
}

export const firecracker: Dimension = {
  name: 'firecracker',
  description: 'Verbs on Firecracker against a bare C client that makes the same calls and writes.',
  needsQemu: false,
  run: firecrackerRows,
};
