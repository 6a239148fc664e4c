import { deriveVm, folderOf, withPresentFiles, type ProcessVm } from '@microvm/driver-kit';
import type { DriverVm } from '@microvm/runtime';
import { readPlan, vmmFolder, type VmPlan } from '../host/vm-plan.js';
import type { FirecrackerContext } from './context.js';

/**
 * A VM at the driver's door: its plan is read, and what follows from the plan derived, once for a whole call.
 */
export interface FirecrackerVm extends ProcessVm {
  readonly plan: VmPlan;
  /** The working folder of the VMM: the root of its jail or, without a jail, a folder in the VM's own. */
  readonly vmmFolder: string;
  /** Absolute; undefined where it has none. */
  readonly cgroup: string | undefined;
  /** The same, below the mount. */
  readonly cgroupName: string | undefined;
}

export function firecrackerVm({ cgroups, stateDir }: FirecrackerContext, vm: DriverVm): FirecrackerVm {
  const { instanceId } = vm;
  const directory = folderOf(vm);
  const plan = withPresentFiles(readPlan(vm.plan), vm.spec);
  return deriveVm(vm, {
    plan,
    directory,
    vmmFolder: vmmFolder(stateDir, { instanceId, directory }, plan),
    cgroup: cgroups.pathOf(plan),
    cgroupName: cgroups.nameOf(plan),
  });
}
