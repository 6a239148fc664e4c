import type { VmRuntime } from '@microvm/runtime';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { runtimeWith, vmName } from '../engine.js';
import { runFresh } from '../fresh-process.js';
import { interleave, timeMs } from '../interleave.js';

const FEW = 100;

/** Microseconds of one look at one VM. */
async function getUs(runtime: VmRuntime, vms: number): Promise<number> {
  const looks = 5000;
  const tookMs = await timeMs(async () => {
    // A stride that meets every part of the fleet.
    for (let look = 0; look < looks; look += 1) await runtime.getVm(vmName((look * 7919) % vms));
  });
  return (tookMs * 1000) / looks;
}

/**
 * Microseconds per VM of a list of all; each sample lists about as many VMs, in as many lists as that takes.
 */
async function listUs(runtime: VmRuntime, vms: number, listed: number): Promise<number> {
  const rounds = Math.max(1, Math.round(listed / vms));
  const tookMs = await timeMs(async () => {
    for (let round = 0; round < rounds; round += 1) await runtime.listVms();
  });
  return (tookMs * 1000) / (rounds * vms);
}

async function lookRows({ quick }: BenchRun): Promise<readonly Measurement[]> {
  const many = quick ? 1000 : 10_000;
  const pairs = quick ? 3 : 15;
  const crowd = await runtimeWith(many);
  const few = await runtimeWith(FEW);
  try {
    const options = { pairs, warmups: 3 };
    const get = await interleave(
      () => getUs(crowd, many),
      () => getUs(few, FEW),
      options,
    );
    const list = await interleave(
      () => listUs(crowd, many, many),
      () => listUs(few, FEW, many),
      options,
    );
    const sides = (samples: { readonly ours: number[]; readonly theirs: number[] }) => ({
      ours: { label: `${String(many)} VMs`, samples: samples.ours },
      theirs: { label: `${String(FEW)} VMs`, samples: samples.theirs },
      aim: { kind: 'ratio', atMost: 2 } as const,
      parameters: { many, few: FEW, pairs },
      unit: 'µs' as const,
    });
    return [
      { name: 'getVm', ...sides(get) },
      { name: 'listVms, per VM', ...sides(list) },
    ];
  } finally {
    await crowd.close();
    await few.close();
  }
}

async function memoryRow({ quick, log }: BenchRun): Promise<Measurement> {
  const vms = quick ? 1000 : 10_000;
  const samples: number[] = [];
  while (samples.length < (quick ? 1 : 5)) {
    log(`scale: memory of ${String(vms)} VMs, process ${String(samples.length + 1)}`);
    samples.push(await runFresh('memory-per-vm', { vms }, ['--expose-gc']));
  }
  return {
    name: `resident memory per VM at ${String(vms)} VMs`,
    unit: 'KiB',
    ours: { label: 'running VMs, a process per sample', samples },
    aim: { kind: 'value', atMost: 8 },
    parameters: { vms },
  };
}

async function scaleRows(run: BenchRun): Promise<readonly Measurement[]> {
  return [await memoryRow(run), ...(await lookRows(run))];
}

export const scale: Dimension = {
  name: 'scale',
  description: 'Memory per VM, and looks at VMs, with many of them.',
  needsQemu: false,
  run: scaleRows,
};
