import { deriveVm, folderOf, withPresentFiles, type ProcessVm } from '@microvm/driver-kit';
import type { DriverVm } from '@microvm/runtime';
import { readPlan, type VmPlan } from '../host/vm-plan.js';

/** A VM at the driver's door: its plan is read once for a whole call. */
export interface QemuVm extends ProcessVm {
  readonly plan: VmPlan;
}

export function qemuVm(vm: DriverVm): QemuVm {
  return deriveVm(vm, { plan: withPresentFiles(readPlan(vm.plan), vm.spec), directory: folderOf(vm) });
}
