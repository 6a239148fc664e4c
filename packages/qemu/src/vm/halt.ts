import { killVmms } from '@microvm/driver-kit';
import { vmmsOf } from '../process/find-vmm.js';
import type { QemuContext } from './context.js';
import type { QemuVm } from './qemu-vm.js';

/** Ends whatever QEMU process a VM has, known to this process or not; resolves when there is none. */
export async function clearLife({ table }: QemuContext, vm: QemuVm): Promise<void> {
  const { instanceId, vmId } = vm;
  const live = table.get(instanceId);
  if (live === undefined) {
    await killVmms(await vmmsOf(vm), { vmm: 'QEMU', vmId, instanceId });
    return;
  }
  await live.kill();
  await table.forget(live);
}
