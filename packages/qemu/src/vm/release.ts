import { folderOf, removeFiles } from '@microvm/driver-kit';
import type { DriverVm } from '@microvm/runtime';
import { readPlan } from '../host/vm-plan.js';
import type { QemuContext } from './context.js';
import { haltVm } from './halt.js';

/** Ends the VM's QEMU and removes its files; answers what is still there afterwards. */
export async function releaseVm(context: QemuContext, vm: DriverVm): Promise<readonly string[]> {
  const alive = await haltVm(context, vm).then(
    () => [],
    (error: unknown) => [(error as Error).message],
  );
  return [...alive, ...(await removeFiles(folderOf(vm), readPlan(vm.plan).files))];
}
