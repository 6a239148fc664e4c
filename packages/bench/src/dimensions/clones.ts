import { readFile } from 'node:fs/promises';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { interleave } from '../interleave.js';
import { QemuBench } from '../qemu-bench.js';

const MEM_SIZE_MIB = 128;
const AT_ONCE = 3;

/** Proportional set size in MiB: memory that is shared counts in parts. */
async function pssMib(pid: number): Promise<number> {
  const text = await readFile(`/proc/${String(pid)}/smaps_rollup`, 'utf8');
  const kib = /^Pss:\s+(\d+) kB$/m.exec(text)?.[1];
  if (kib === undefined) throw new Error(`no Pss in smaps_rollup of process ${String(pid)}`);
  return Number(kib) / 1024;
}

async function summedPss(bench: QemuBench, come: () => Promise<string>): Promise<number> {
  const vms: string[] = [];
  try {
    for (let i = 0; i < AT_ONCE; i += 1) vms.push(await come());
    const views = await Promise.all(vms.map((vm) => bench.view(vm)));
    const sizes = await Promise.all(views.map(({ vmm }) => pssMib(vmm?.pid ?? -1)));
    return sizes.reduce((sum, size) => sum + size, 0);
  } finally {
    for (const vm of vms) await bench.destroy(vm);
  }
}

async function cloneRows({ quick, log }: BenchRun): Promise<readonly Measurement[]> {
  await using bench = await QemuBench.open({ memSizeMib: MEM_SIZE_MIB });
  const snapshotUid = await bench.snapshotOfBooted();
  const pairs = quick ? 1 : 3;
  const samples = await interleave(
    () => summedPss(bench, () => bench.restoreToExec(snapshotUid)),
    () => summedPss(bench, () => bench.bootToExec()),
    { pairs, warmups: 0, onPair: (done, total) => log(`clones: pair ${done} of ${total}`) },
  );
  return [
    {
      name: `memory of ${String(AT_ONCE)} VMs at once (PSS)`,
      unit: 'MiB',
      ours: { label: 'clones of one snapshot, one exec each', samples: samples.ours },
      theirs: { label: 'cold boots, one exec each', samples: samples.theirs },
      aim: { kind: 'ratio', atMost: 0.6 },
      parameters: { memSizeMib: MEM_SIZE_MIB, vms: AT_ONCE, pairs },
    },
  ];
}

export const clones: Dimension = {
  name: 'clones',
  description: 'Summed PSS of three VMs of one snapshot that live at once, against three cold boots.',
  needsQemu: true,
  run: cloneRows,
};
