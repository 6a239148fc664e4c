import type { InterruptedOutcome, VmEnding } from '../contract/views.js';
import { UnresponsiveDriver } from './driver-calls.js';
import { endingOf } from './ending.js';
import type { EngineContext } from './engine-context.js';
import type { Vm } from './fleet.js';
import type { Job } from './job.js';
import { endedPatch, type RecordPatch } from './record-patch.js';
import type { Settle } from './verb.js';
import { warnOf } from './warn-of.js';

/** What a broken-off operation left behind: the VM is gone, or its record changes. */
export type Settlement =
  | { readonly gone: true; readonly outcome: InterruptedOutcome }
  | { readonly gone: false; readonly outcome: InterruptedOutcome; readonly patch: RecordPatch };

/** Why an operation broke off: the process died, or an error, an abort's reason included. */
export type Breakage = 'crash' | { readonly error: unknown };

export function undone(patch: RecordPatch): Settlement {
  return { gone: false, outcome: 'undone', patch };
}

export function asFound(patch: RecordPatch): Settlement {
  return { gone: false, outcome: 'as-found', patch };
}

export function carriedThrough(patch: RecordPatch): Settlement {
  return { gone: false, outcome: 'carried-through', patch };
}

/** How a verb ends that broke off. */
export interface Failing {
  readonly settle: Settle;
  /** The settlement asks nothing of the VMM, so it is right also when the driver is stuck in a method. */
  readonly asksNothing?: boolean;
}

/**
 * Settles a failed job, writes it, and throws what its caller gets: the job's own error, whatever the
 * settlement itself runs into. A failure, an abort, a time-out and a crash of the process are settled by the
 * same function, so they end alike; only after a crash are stop and destroy carried through, as nobody is
 * left to call again.
 */
export async function failJob(
  context: EngineContext,
  vm: Vm,
  job: Job,
  { error, settle, asksNothing = false }: Failing & { readonly error: unknown },
): Promise<never> {
  const { operation } = vm.record;
  if (operation?.jobId !== job.jobId) throw error;
  const isStuck = error instanceof UnresponsiveDriver;
  const reason: unknown = isStuck ? job.signal.reason : error;
  vm.told.secrets.rollBack();
  const settlement =
    isStuck && !asksNothing
      ? await abandon(context, vm)
      : await settle(context, vm, operation, { error: reason });
  if (settlement.gone) context.fleet.remove(vm);
  else await context.journal.commitFailure(vm, job, reason, settlement.patch);
  throw reason;
}

/** The driver is stuck in a method: nothing it says of this VM can be trusted until its VMM is gone. */
async function abandon(context: EngineContext, vm: Vm): Promise<Settlement> {
  const cleanup = await context.calls.halt(vm);
  await removeUnpublished(context, vm.record.operation?.snapshotUid);
  return asFound({ ...endedPatch(endingOf('unresponsive')), cleanup });
}

/**
 * Removes what a broken-off snapshot had made. What cannot be removed is swept when the state directory is
 * opened again.
 */
export async function removeUnpublished(
  { catalogue, driver }: EngineContext,
  snapshotUid: string | undefined,
): Promise<void> {
  if (snapshotUid === undefined) return;
  await catalogue
    .remove(snapshotUid)
    .catch((error: unknown) => warnOf(`remove snapshot ${snapshotUid}`, error));
  driver.snapshots?.forget?.(snapshotUid);
}

/**
 * Asks the VMM what is true of a VM that was live. When the VMM does not answer, the VM is taken to be as it
 * was.
 */
export async function askVmm(context: EngineContext, vm: Vm): Promise<RecordPatch> {
  const seen = vm.unhandledEnding;
  if (seen !== undefined) return ended(context, vm, seen);
  const { calls, driver } = context;
  try {
    const adoption = await calls.bounded((run) => driver.adopt(calls.driverVm(vm), run));
    if (adoption.state === 'ended') return await ended(context, vm, adoption.ending);
    return { state: adoption.state, ...(adoption.vmm === undefined ? {} : { vmm: adoption.vmm }) };
  } catch {
    // A VMM that does not answer is no reason to end its guest: stopVm and destroyVm end it by force when
    // asked to.
    return { state: vm.record.state };
  }
}

/** Clears away what is left of a VMM that ended; what that changes in the record. */
export async function ended({ calls }: EngineContext, vm: Vm, ending: VmEnding): Promise<RecordPatch> {
  const cleanup = await calls.halt(vm);
  vm.unhandledEnding = undefined;
  return { ...endedPatch(ending), cleanup };
}

/** Deals with an end that the driver told of, before a job looks at the VM. */
export async function absorbEnding(context: EngineContext, vm: Vm): Promise<void> {
  const ending = vm.unhandledEnding;
  if (ending !== undefined) await context.journal.write(vm, await ended(context, vm, ending));
}
