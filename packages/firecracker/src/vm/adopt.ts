import { endingOfGone, ensureThawed, folderOf } from '@microvm/driver-kit';
import { watchProcess } from '@microvm/native';
import type { Adoption, DriverVm, Run, VmEnding } from '@microvm/runtime';
import { readPlan, vmmFolder } from '../host/vm-plan.js';
import { vmmsOf } from '../process/find-vmm.js';
import { reportEnd, type FirecrackerContext } from './context.js';
import { watchOwner } from './launch.js';
import { readLife } from './life.js';
import { LiveVm } from './live-vm.js';

const STATUS_TIMEOUT_MS = 4000;

/** Finds out what became of a VM, in this process or an earlier one, and takes it over where it lives. */
export async function adoptVm(context: FirecrackerContext, vm: DriverVm, run: Run): Promise<Adoption> {
  const live = context.table.get(vm.instanceId) ?? (await takeOver(context, vm));
  if (live === undefined) return { state: 'ended', ending: await endingBehind(vm) };
  if (live.hasEnded) return endedBy(live, await live.ended);
  const state = await live.state({ signal: run.signal, timeoutMs: STATUS_TIMEOUT_MS });
  switch (state) {
    case 'Not started':
      // A restore that was broken off: there is no guest in it.
      return endedBy(live, { reason: 'lost', exitCode: null, signal: null, lastLogLines: [] });
    case 'Running':
      await ensureThawed(live.agent, { vm, signal: run.signal });
      break;
    case 'Paused':
  }
  reportEnd(context, live);
  return { state: state === 'Running' ? 'running' : 'paused', vmm: live.identity };
}

async function takeOver(context: FirecrackerContext, vm: DriverVm): Promise<LiveVm | undefined> {
  const [identity] = await vmmsOf(vm.instanceId, vm.vmm);
  if (identity === undefined) return undefined;
  const directory = folderOf(vm);
  const plan = readPlan(vm.plan);
  const found = {
    vm,
    directory,
    vmmFolder: vmmFolder(context.stateDir, { instanceId: vm.instanceId, directory }, plan),
    life: await readLife(directory),
    ledger: context.metrics.of(vm),
    cgroup: context.cgroups.pathOf(plan),
  };
  const live = await context.table.start(vm.instanceId, () =>
    Promise.resolve(new LiveVm({ ...found, process: watchProcess(identity) })),
  );
  // One whose API does not answer is watched all the same.
  reportEnd(context, live);
  if (vm.spec.onOwnerDeath === 'destroy') await watchOwner(context, live, vm);
  return live;
}

async function endingBehind(vm: DriverVm): Promise<VmEnding> {
  const directory = folderOf(vm);
  return endingOfGone(directory, (await readLife(directory)).consoleStartBytes);
}

function endedBy(live: LiveVm, ending: VmEnding): Adoption {
  live.expectEnd();
  return { state: 'ended', ending };
}
