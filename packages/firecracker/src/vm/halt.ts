import { allSettledOrThrow, EXIT_AFTER_KILL_MS, killVmms } from '@microvm/driver-kit';
import { killCgroup } from '@microvm/native';
import { clearVmmFolder } from '../host/stage.js';
import { jailFolder } from '../host/vm-plan.js';
import { vmmsOf } from '../process/find-vmm.js';
import { endProcessesOf } from '../process/user-processes.js';
import type { FirecrackerContext } from './context.js';
import type { FirecrackerVm } from './firecracker-vm.js';

/**
 * Removes one life of a VM: its processes, its cgroup, the folder that the VMM worked in. The cgroup kills
 * all that is in it at once; a process outside of it is found by what the kernel says of it. Resolves when
 * nothing of that life is left.
 */
export async function clearLife({ table, stateDir }: FirecrackerContext, vm: FirecrackerVm): Promise<void> {
  const { instanceId, vmId, cgroup } = vm;
  const name = { vmm: 'Firecracker', vmId, instanceId };
  const live = table.get(instanceId);
  if (live === undefined) {
    await killCgroupOf(cgroup);
    await killVmms(await vmmsOf(vm), name);
  } else {
    await allSettledOrThrow([live.kill(), killCgroupOf(cgroup)]);
    await table.forget(live);
  }
  // What a VMM has forked is in its cgroup; without one only the user tells.
  if (vm.plan.uid !== null && cgroup === undefined) await endProcessesOf(vm.plan.uid, name);
  await clearVmmFolder(vm.plan.uid === null ? vm.vmmFolder : jailFolder(stateDir, instanceId));
}

async function killCgroupOf(path: string | undefined): Promise<void> {
  if (path !== undefined) await killCgroup(path, { timeoutMs: EXIT_AFTER_KILL_MS });
}
