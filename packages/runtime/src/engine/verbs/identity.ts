import { VmRuntimeError } from '../../contract/errors.js';
import type { VmView } from '../../contract/views.js';
import type { Core } from '../core.js';
import { guard, guardFree, type Vm } from '../fleet.js';
import type { Job } from '../job.js';
import { destroyedPatch, failJob, reclaim } from '../settle.js';

/** renameVm: one write, so a crash finds it before or after. */
export async function renameVm(core: Core, vm: Vm, newVmId: string, job: Job): Promise<VmView> {
  guard(vm, 'renameVm');
  const { vmId, instanceId } = vm.record;
  if (newVmId === vmId) return core.view(vm);
  guardFree(core.fleet, newVmId);
  const tombstone = core.fleet.get(newVmId);
  await core.step(`${job.kind}:accepted`);
  job.signal.throwIfAborted();
  const finished = job.success({ instanceId });
  const record = core.patched(vm.record, {
    vmId: newVmId,
    jobs: core.book.appendTo(vm.record.jobs, finished),
  });
  await core.store.writeVm(record);
  job.end(finished, true);
  core.fleet.rename(vm, record);
  if (tombstone !== undefined) await forget(core, tombstone);
  await core.step(`${job.kind}:committed`);
  core.emit({ type: 'vm-renamed', instanceId, from: vmId, to: newVmId });
  return core.view(vm);
}

/** destroyVm: `destroyed` only when the driver found nothing left. */
export async function destroyVm(core: Core, vm: Vm, job: Job): Promise<VmView> {
  guard(vm, 'destroyVm');
  await core.begin(vm, job);
  try {
    const left = await core.performFinal(job, () => core.driver.release(core.driverVm(vm)));
    if (left.length > 0) throw incomplete(vm, left);
    await core.store.clearVm(vm.record.instanceId);
    vm.unhandledEnding = undefined;
    await core.commit(vm, job, destroyedPatch());
    return core.view(vm);
  } catch (error) {
    return failJob(core, vm, job, error);
  }
}

function incomplete(vm: Vm, left: readonly string[]): VmRuntimeError<'MICROVM_CLEANUP_INCOMPLETE'> {
  const { vmId } = vm.record;
  return new VmRuntimeError(
    'MICROVM_CLEANUP_INCOMPLETE',
    `destroy "${vmId}": left behind: ${left.join(', ')}`,
    {
      details: { vmId, left },
    },
  );
}

/** forgetVm: the tombstone goes, the snapshots stay. */
export async function forgetVm(core: Core, vm: Vm, job: Job): Promise<void> {
  guard(vm, 'forgetVm');
  await core.step(`${job.kind}:accepted`);
  await forget(core, vm);
  await core.step(`${job.kind}:committed`);
}

/** Removes a tombstone and its history. */
export async function forget(core: Core, tombstone: Vm): Promise<void> {
  const { vmId, instanceId, jobs } = tombstone.record;
  core.book.drop(jobs);
  core.fleet.remove(tombstone);
  await core.store.removeVm(instanceId);
  core.emit({ type: 'vm-forgotten', vmId, instanceId });
}

/** Destroys a VM outside any job, as `close()` does for those that must not outlive their owner. */
export async function destroyUnwatched(core: Core, vm: Vm): Promise<void> {
  const left = await reclaim(core, vm);
  if (left.length > 0) throw incomplete(vm, left);
  await core.store.clearVm(vm.record.instanceId);
  await core.write(vm, destroyedPatch());
}
