import type { VmView } from '../../contract/views.js';
import { endedPatch, NEW_LIFE, type Core, type RecordPatch } from '../core.js';
import { guard, type Vm } from '../fleet.js';
import type { Job } from '../job.js';
import { failJob } from '../settle.js';

/** startVm: a cold boot, or for a paused VM a resume. */
export async function startVm(core: Core, vm: Vm, job: Job): Promise<VmView> {
  guard(vm, 'startVm');
  return vm.record.state === 'paused' ? change(core, vm, job, resume) : change(core, vm, job, boot);
}

export async function resumeVm(core: Core, vm: Vm, job: Job): Promise<VmView> {
  guard(vm, 'resumeVm');
  return change(core, vm, job, resume);
}

export async function pauseVm(core: Core, vm: Vm, job: Job): Promise<VmView> {
  guard(vm, 'pauseVm');
  return change(core, vm, job, async () => {
    await core.perform(job, (run) => core.driver.pause(core.driverVm(vm), run));
    return { state: 'paused' };
  });
}

export async function stopVm(core: Core, vm: Vm, job: Job): Promise<VmView> {
  guard(vm, 'stopVm');
  return change(core, vm, job, async () => {
    const ending = await core.performFinal(job, (run) => core.driver.shutdown(core.driverVm(vm), run));
    vm.unhandledEnding = undefined;
    return endedPatch(ending);
  });
}

/** The runtime's own job after a guest ended: clears the VMM away and, for a reboot, boots again where the spec says so. */
export async function observeVm(core: Core, vm: Vm, job: Job): Promise<VmView> {
  const ending = vm.unhandledEnding;
  if (ending?.reason === 'reboot' && vm.record.spec.onGuestReboot === 'restart') return reboot(core, vm, job);
  await core.step(`${job.kind}:accepted`);
  await core.absorbEnding(vm);
  await core.step(`${job.kind}:committed`);
  return core.view(vm);
}

async function reboot(core: Core, vm: Vm, job: Job): Promise<VmView> {
  const { vmId, instanceId } = vm.record;
  core.emit({ type: 'guest-rebooted', vmId, instanceId });
  return change(core, vm, job, async () => {
    await core.halt(vm);
    vm.unhandledEnding = undefined;
    return boot(core, vm, job);
  });
}

type Effects = (core: Core, vm: Vm, job: Job) => Promise<RecordPatch>;

/** The frame of every journalled change: intent, effects, commit; or, on any failure, the settlement. */
async function change(core: Core, vm: Vm, job: Job, effects: Effects): Promise<VmView> {
  await core.begin(vm, job);
  try {
    await core.commit(vm, job, await effects(core, vm, job));
  } catch (error) {
    await failJob(core, vm, job, error);
  }
  return core.view(vm);
}

async function boot(core: Core, vm: Vm, job: Job): Promise<RecordPatch> {
  const { vmm } = await core.perform(job, (run) => core.driver.boot(core.driverVm(vm), run));
  return { ...NEW_LIFE, vmm, memoryFrom: undefined, unrepaired: undefined };
}

async function resume(core: Core, vm: Vm, job: Job): Promise<RecordPatch> {
  const how = vm.record.unrepaired === true ? 'restore' : 'pause';
  await core.perform(job, (run) => core.driver.resume(core.driverVm(vm), how, run));
  return { ...NEW_LIFE, unrepaired: undefined };
}
