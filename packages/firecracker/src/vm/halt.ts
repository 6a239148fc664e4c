import { allSettledOrThrow, EXIT_AFTER_KILL_MS, killVmms } from '@microvm/driver-kit';
import { killCgroup } from '@microvm/native';
import { clearVmmFolder } from '../host/stage.js';
import { jailFolder } from '../host/vm-plan.js';
import { vmmsOf } from '../process/find-vmm.js';
import { endProcessesOf } from '../process/user-processes.js';
import type { FirecrackerContext } from './context.js';
import type { FirecrackerVm } from './firecracker-vm.js';

/**
 * Removes one life of a VM: its processes, its cgroup, and the VMM's working folder. The cgroup kills all
 * processes in it at once. A process outside of the cgroup is found by what the kernel says of the process.
 * Resolves when nothing of that life is left.
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
  // The cgroup holds all that a VMM has forked. Without a cgroup only the user tells.
  if (vm.plan.uid !== null && cgroup === undefined) await endProcessesOf(vm.plan.uid, name);
  await clearVmmFolder(vm.plan.uid === null ? vm.vmmFolder : jailFolder(stateDir, instanceId));
}

async function killCgroupOf(path: string | undefined): Promise<void> {
  if (path !== undefined) await killCgroup(path, { timeoutMs: EXIT_AFTER_KILL_MS });
}
