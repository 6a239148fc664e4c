import { isVmRuntimeError } from '../contract/errors.js';
import type { InterruptedOutcome, VmEnding } from '../contract/views.js';
import { endedPatch, UnresponsiveDriver, type Core, type RecordPatch } from './core.js';
import { endingOf } from './ending.js';
import type { Vm } from './fleet.js';
import type { Job } from './job.js';
import type { OperationRecord } from './record.js';

/** What a broken-off operation left behind: the VM is gone, or its record changes. */
export interface Settlement {
  readonly gone: boolean;
  readonly patch: RecordPatch;
  readonly outcome: InterruptedOutcome;
}

/** Why an operation broke off: the process died, or an error, an abort's reason included. */
export type Breakage = 'crash' | { readonly error: unknown };

/**
 * Brings a VM whose operation broke off into the state that the contract names. A failure, an abort, a time-out and a crash of the
 * process all end here, so they end alike; only after a crash are stop and destroy carried through, as nobody is left to call again.
 */
export async function settle(
  core: Core,
  vm: Vm,
  operation: OperationRecord,
  cause: Breakage,
): Promise<Settlement> {
  switch (operation.kind) {
    case 'createVm':
      return undoCreate(core, vm);
    case 'startVm':
      if (operation.from !== 'paused') return undoBoot(core, vm, operation);
      return undoResume(core, vm);
    case 'resumeVm':
      return undoResume(core, vm);
    case 'pauseVm':
      return { gone: false, patch: await askVmm(core, vm), outcome: 'as-found' };
    case 'stopVm':
      return settleStop(core, vm, cause);
    case 'snapshotVm':
      return undoSnapshot(core, vm, operation);
    case 'destroyVm':
      return settleDestroy(core, vm, cause);
    case 'observeVm':
      return undoReboot(core, vm);
    case 'renameVm':
    case 'forgetVm':
    case 'deleteSnapshot':
    case 'verifySnapshot':
      throw new Error(`${operation.kind} has no intent`);
  }
}

/** Settles a failed job, writes it, and throws what its caller gets. */
export async function failJob(core: Core, vm: Vm, job: Job, error: unknown): Promise<never> {
  const { operation } = vm.record;
  if (operation?.jobId !== job.jobId) throw error;
  const isStuck = error instanceof UnresponsiveDriver;
  const reason: unknown = isStuck ? job.signal.reason : error;
  const settlement =
    isStuck && operation.kind !== 'createVm' && operation.kind !== 'destroyVm'
      ? await abandon(core, vm)
      : await settle(core, vm, operation, { error: reason });
  if (settlement.gone) core.fleet.remove(vm);
  else await core.commitFailure(vm, job, reason, settlement.patch);
  throw reason;
}

/** The driver is stuck in a method: nothing it says of this VM can be trusted until its VMM is gone. */
async function abandon(core: Core, vm: Vm): Promise<Settlement> {
  const cleanup = await core.halt(vm);
  if (vm.record.operation?.snapshotUid !== undefined)
    await core.catalogue.remove(vm.record.operation.snapshotUid);
  return { gone: false, patch: { ...endedPatch(endingOf('unresponsive')), cleanup }, outcome: 'as-found' };
}

/** What is true of a VM that was live: asked of its VMM. One that does not answer is taken to be as it was. */
export async function askVmm(core: Core, vm: Vm): Promise<RecordPatch> {
  const seen = vm.unhandledEnding;
  if (seen !== undefined) return ended(core, vm, seen);
  try {
    const adoption = await core.bounded((run) => core.driver.adopt(core.driverVm(vm), run));
    if (adoption.state === 'ended') return await ended(core, vm, adoption.ending);
    return { state: adoption.state, ...(adoption.vmm === undefined ? {} : { vmm: adoption.vmm }) };
  } catch {
    // A VMM that does not answer is no reason to end its guest: stopVm and destroyVm end it by force when asked to.
    return { state: vm.record.state };
  }
}

async function ended(core: Core, vm: Vm, ending: VmEnding): Promise<RecordPatch> {
  const cleanup = await core.halt(vm);
  vm.unhandledEnding = undefined;
  return { ...endedPatch(ending), cleanup };
}

/** Removes everything of a VM; answers what is left of it. */
export async function reclaim(core: Core, vm: Vm, boundMs?: number): Promise<readonly string[]> {
  try {
    return await core.bounded(() => core.driver.release(core.driverVm(vm)), boundMs);
  } catch (error) {
    return [`${core.driver.name}: ${(error as Error).message}`];
  }
}

async function undoCreate(core: Core, vm: Vm): Promise<Settlement> {
  const left = await reclaim(core, vm);
  if (left.length > 0) {
    const patch = { ...endedPatch(endingOf('lost')), cleanup: { left } };
    return { gone: false, patch, outcome: 'undone' };
  }
  await core.store.removeVm(vm.record.instanceId);
  return { gone: true, patch: {}, outcome: 'undone' };
}

async function undoBoot(core: Core, vm: Vm, { from }: OperationRecord): Promise<Settlement> {
  const cleanup = await core.halt(vm);
  vm.unhandledEnding = undefined;
  if (cleanup === undefined)
    return { gone: false, patch: { state: from, vmm: undefined }, outcome: 'undone' };
  return { gone: false, patch: { ...endedPatch(endingOf('unresponsive')), cleanup }, outcome: 'undone' };
}

async function undoResume(core: Core, vm: Vm): Promise<Settlement> {
  const truth = await askVmm(core, vm);
  if (truth.state !== 'running') return { gone: false, patch: truth, outcome: 'undone' };
  try {
    await core.bounded((run) => core.driver.pause(core.driverVm(vm), run));
    return { gone: false, patch: { ...truth, state: 'paused' }, outcome: 'undone' };
  } catch {
    return { gone: false, patch: await askVmm(core, vm), outcome: 'as-found' };
  }
}

async function settleStop(core: Core, vm: Vm, cause: Breakage): Promise<Settlement> {
  const truth = await askVmm(core, vm);
  if (cause !== 'crash') return { gone: false, patch: truth, outcome: 'as-found' };
  if (truth.state !== 'running') return { gone: false, patch: stopped(truth), outcome: 'carried-through' };
  const boundMs = vm.record.spec.shutdownTimeoutMs + core.abortGraceMs;
  const ending = await core
    .bounded((run) => core.driver.shutdown(core.driverVm(vm), run), boundMs)
    .catch(() => endingOf('killed'));
  return { gone: false, patch: await ended(core, vm, ending), outcome: 'carried-through' };
}

/** A VMM that went while a stop was under way went because of it; whether the guest had flushed, nobody can say any more. */
function stopped(truth: RecordPatch): RecordPatch {
  const { ending } = truth;
  if (ending?.reason !== 'lost' && ending?.reason !== 'vmm-exit') return truth;
  return { ...truth, ...endedPatch({ ...ending, reason: 'killed' }) };
}

async function undoSnapshot(core: Core, vm: Vm, { from, snapshotUid }: OperationRecord): Promise<Settlement> {
  if (snapshotUid !== undefined) {
    await core.catalogue.remove(snapshotUid);
    core.driver.forgetSnapshot(snapshotUid);
  }
  if (from !== 'running' && from !== 'paused') return { gone: false, patch: {}, outcome: 'undone' };
  const truth = await askVmm(core, vm);
  if (from !== 'running' || truth.state !== 'paused') return { gone: false, patch: truth, outcome: 'undone' };
  try {
    await core.bounded((run) => core.driver.resume(core.driverVm(vm), 'pause', run));
    return { gone: false, patch: { ...truth, state: 'running' }, outcome: 'undone' };
  } catch {
    return { gone: false, patch: await askVmm(core, vm), outcome: 'as-found' };
  }
}

async function settleDestroy(core: Core, vm: Vm, cause: Breakage): Promise<Settlement> {
  const left = cause === 'crash' ? await reclaim(core, vm) : leftBy(cause.error);
  vm.unhandledEnding = undefined;
  if (left.length > 0) {
    const patch = {
      ...endedPatch(endingOf('killed')),
      state: 'crashed',
      stop: undefined,
      cleanup: { left },
    } as const;
    return { gone: false, patch, outcome: 'as-found' };
  }
  await core.store.clearVm(vm.record.instanceId);
  return { gone: false, patch: destroyedPatch(), outcome: 'carried-through' };
}

function leftBy(error: unknown): readonly string[] {
  if (isVmRuntimeError(error, 'MICROVM_CLEANUP_INCOMPLETE')) return error.details.left;
  return [`unknown, as the destroy broke off: ${error instanceof Error ? error.message : String(error)}`];
}

async function undoReboot(core: Core, vm: Vm): Promise<Settlement> {
  const patch = await ended(core, vm, vm.unhandledEnding ?? endingOf('reboot'));
  return { gone: false, patch, outcome: 'as-found' };
}

export function destroyedPatch(): RecordPatch {
  return {
    ...endedPatch(endingOf('killed')),
    state: 'destroyed',
    ending: undefined,
    stop: undefined,
    cleanup: undefined,
  };
}
