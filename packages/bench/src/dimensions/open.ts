import { createInMemoryRuntime } from '@microvm/in-memory';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { readRecordsByHand } from '../by-hand/read-records.js';
import { interleave } from '../interleave.js';
import { atOnce } from '../lifecycle.js';
import { TemporaryFolder } from '../temporary-folder.js';

const WORKERS = 64;

async function openByRuntime(stateDir: string, expected: number): Promise<number> {
  const startedAt = performance.now();
  const runtime = await createInMemoryRuntime({ stateDir });
  const tookMs = performance.now() - startedAt;
  const found = (await runtime.listVms()).length;
  await runtime.close();
  if (found !== expected) throw new Error(`opened with ${String(found)} VMs`);
  return tookMs;
}

async function openRows({ quick, log }: BenchRun): Promise<readonly Measurement[]> {
  await using folder = await TemporaryFolder.make();
  const stateDir = folder.path;
  const vms = quick ? 100 : 1000;
  const pairs = quick ? 3 : 15;
  const runtime = await createInMemoryRuntime({ stateDir });
  log(`open: making ${String(vms)} VMs`);
  await atOnce(vms, WORKERS, (index) => runtime.createVm(`vm-${String(index)}`));
  await runtime.close();
  const samples = await interleave(
    () => openByRuntime(stateDir, vms),
    () => readRecordsByHand(stateDir, vms),
    { pairs, warmups: 2 },
  );
  return [
    {
      name: `open a state directory with ${String(vms)} VMs`,
      unit: 'ms',
      ours: { label: 'lock, load, recover', samples: samples.ours },
      theirs: { label: 'read and parse the same files', samples: samples.theirs },
      aim: { kind: 'ratio', atMost: 2 },
      parameters: { vms, pairs },
    },
  ];
}

export const open: Dimension = {
  name: 'open',
  description: 'Open of a state directory with many VMs, against reading and parsing the same files.',
  needsQemu: false,
  run: openRows,
};
