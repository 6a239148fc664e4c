import { join } from 'node:path';
import type { VmRuntime } from '@microvm/runtime';
import { readRecordsByHand } from './by-hand/read-records.js';
import { collectGarbage } from './collect-garbage.js';
import { openFirecracker } from './firecracker-lives.js';
import { doubles } from './firecracker-programs.js';
import { interleave } from './interleave.js';
import { atOnce } from './lifecycle.js';
import { TemporaryFolder } from './temporary-folder.js';

export interface FleetOptions {
  readonly vms: number;
  /** Opens of the state directory that are measured. */
  readonly opens: number;
}

/** What many VMs cost at once. */
export interface Fleet {
  /** Resident memory of this process, per running VM. */
  readonly kibPerVm: number;
  /** Milliseconds, in pairs: an open of their state directory, and the mere reading of its records. */
  readonly openMs: readonly number[];
  readonly readMs: readonly number[];
}

const WORKERS = 16;
const KIB = 1024;

/**
 * Many VMs, on the doubles and without jails, whose copies of the VMM would fill the disk. To be run in a
 * fresh process.
 */
export async function measureFleet({ vms, opens }: FleetOptions): Promise<Fleet> {
  await using folder = await TemporaryFolder.make();
  const stateDir = join(folder.path, 'state');
  const open = (): Promise<VmRuntime> => openFirecracker(doubles(), stateDir, { jail: false });
  let runtime = await open();
  try {
    // Code, tables and the compiler's own memory are there before the VMs that count.
    await runAll(runtime, 'warm', Math.ceil(vms / 10));
    await eraseAll(runtime);
    collectGarbage();
    const before = process.memoryUsage.rss();
    await runAll(runtime, 'vm', vms);
    collectGarbage();
    const kibPerVm = (process.memoryUsage.rss() - before) / vms / KIB;
    await atOnce(vms, WORKERS, (index) => runtime.stopVm(`vm-${index}`));
    await runtime.close();
    const openOnce = async (): Promise<number> => {
      const startedAt = performance.now();
      runtime = await open();
      const tookMs = performance.now() - startedAt;
      if ((await runtime.listVms()).length !== vms) throw new Error('not as many VMs as were made');
      await runtime.close();
      return tookMs;
    };
    const { ours, theirs } = await interleave(openOnce, () => readRecordsByHand(stateDir, vms), {
      pairs: opens,
      warmups: 1,
    });
    return { kibPerVm, openMs: ours, readMs: theirs };
  } finally {
    await runtime.close();
    runtime = await open();
    await eraseAll(runtime);
    await runtime.close();
  }
}

async function runAll(runtime: VmRuntime, name: string, vms: number): Promise<void> {
  await atOnce(vms, WORKERS, async (index) => {
    await runtime.createVm(`${name}-${index}`);
    await runtime.startVm(`${name}-${index}`);
  });
}

async function eraseAll(runtime: VmRuntime): Promise<void> {
  const views = await runtime.listVms();
  await atOnce(views.length, WORKERS, async (index) => {
    const vmId = views[index]?.vmId ?? '';
    await runtime.destroyVm(vmId);
    await runtime.forgetVm(vmId);
  });
}
