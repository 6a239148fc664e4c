import { killVmms, type VmTable } from '@microvm/driver-kit';
import type { VmEnding } from '@microvm/runtime';
import type { MinimalVm } from '../host/vm-plan.js';
import { vmmsOf } from '../process/find-vmm.js';
import type { LiveVm } from './live-vm.js';

/** Ends the VMM of a VM, known to this process or found on the host; resolves when there is none. */
export async function clearLife(table: VmTable<LiveVm>, vm: MinimalVm): Promise<void> {
  const { instanceId, vmId } = vm;
  const live = table.get(instanceId);
  if (live === undefined) return killVmms(await vmmsOf(vm), { vmm: 'the VMM', vmId, instanceId });
  await live.kill();
  await table.forget(live);
}

/** Ends the VMM of a VM that was asked to halt. A guest that did not halt in time is killed with it. */
export async function finishShutdown(
  table: VmTable<LiveVm>,
  vm: MinimalVm,
  ending: VmEnding | undefined,
): Promise<VmEnding> {
  const live = table.liveOf(vm);
  await clearLife(table, vm);
  return ending ?? { ...(await live.ended), reason: 'killed' };
}
