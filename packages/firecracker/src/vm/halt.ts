import { folderOf, killVmm, together } from '@microvm/driver-kit';
import { killCgroup, watchProcess, type ProcessIdentity } from '@microvm/native';
import type { DriverVm } from '@microvm/runtime';
import { clearVmmFolder } from '../host/stage.js';
import { jailFolder, readPlan, vmmFolder } from '../host/vm-plan.js';
import { vmmsOf } from '../process/find-vmm.js';
import type { FirecrackerContext } from './context.js';

// A host that is overloaded, or emulated, takes its time to take a process apart.
const EXIT_AFTER_KILL_MS = 20_000;

/** Ends whatever Firecracker a VM has, known to us or not, and removes what that life had; resolves when there is nothing of it. */
export async function haltVm(context: FirecrackerContext, vm: DriverVm): Promise<void> {
  await context.table.settled(vm.instanceId);
  await clearLife(context, vm);
}

/**
 * Removes one life of a VM: its processes, its cgroup, the folder that the VMM worked in. The cgroup kills all that is in it at once; a
 * process outside of it is found by its arguments.
 */
export async function clearLife(context: FirecrackerContext, vm: DriverVm): Promise<void> {
  const { table, cgroups, stateDir, ownerDeath } = context;
  const plan = readPlan(vm.plan);
  const live = table.get(vm.instanceId);
  live?.expectEnd();
  if (live === undefined) {
    await killCgroupOf(cgroups.pathOf(plan));
    for (const identity of await vmmsOf(vm.instanceId, vm.vmm)) await endProcess(identity, vm);
  } else {
    await together([killCgroupOf(cgroups.pathOf(plan)), live.kill()]);
    await ownerDeath.remove(live.identity);
    live.close();
    table.remove(live);
  }
  const directory = folderOf(vm);
  await clearVmmFolder(
    plan.uid === null
      ? vmmFolder(stateDir, { instanceId: vm.instanceId, directory }, plan)
      : jailFolder(stateDir, vm.instanceId),
  );
}

async function killCgroupOf(path: string | undefined): Promise<void> {
  if (path !== undefined) await killCgroup(path, { timeoutMs: EXIT_AFTER_KILL_MS });
}

async function endProcess(identity: ProcessIdentity, { vmId, instanceId }: DriverVm): Promise<void> {
  const process = watchProcess(identity);
  try {
    await killVmm(process, { vmm: 'Firecracker', vmId, instanceId });
  } finally {
    process.close();
  }
}
