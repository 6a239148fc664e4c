import { folderOf } from '@microvm/driver-kit';
import { watchProcess } from '@microvm/native';
import type { DriverVm } from '@microvm/runtime';
import { vmmsOf } from '../process/find-vmm.js';
import type { QemuContext } from './context.js';
import { LiveVm } from './live-vm.js';

/** Ends whatever QEMU process a VM has, known to us or not; resolves when there is none. */
export async function haltVm(context: QemuContext, vm: DriverVm): Promise<void> {
  await context.table.settled(vm.instanceId);
  const live = context.table.get(vm.instanceId);
  if (live !== undefined) return endLife(context, live);
  for (const identity of await vmmsOf(vm.instanceId, vm.vmm)) {
    await endLife(context, new LiveVm(vm, folderOf(vm), watchProcess(identity)));
  }
}

/** Kills a VMM, verified, and forgets it. */
export async function endLife(context: QemuContext, live: LiveVm): Promise<void> {
  await live.kill();
  await context.ownerDeath.remove(live.identity);
  live.close();
  context.table.remove(live);
}
