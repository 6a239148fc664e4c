import { isVmRuntimeError, VmRuntimeError } from '../../contract/errors.js';
import { sweepContent } from '../content-use.js';
import { endingOf } from '../ending.js';
import type { EngineContext } from '../engine-context.js';
import type { Vm } from '../fleet.js';
import { vmVerb } from '../journalled.js';
import { endedPatch, type RecordPatch } from '../record-patch.js';
import type { OperationRecord } from '../record.js';
import { asFound, carriedThrough, type Breakage, type Settlement } from '../settlement.js';
import type { Verb } from '../verb.js';
import { warnOf } from '../warn-of.js';

const removal: Verb<'destroyVm'> = vmVerb({
  kind: 'destroyVm',
  needs: [],
  async effects({ calls, driver, store }, { vm, job }) {
    const left = await calls.performFinal(job, () => driver.release(calls.driverVm(vm)));
    if (left.length > 0) throw incomplete(vm, left);
    await store.clearVm(vm.record.instanceId);
    vm.unhandledEnding = undefined;
    return DESTROYED;
  },
  settle,
  asksNothing: true,
  // Whatever has become of the state directory, a VM that is to be destroyed must not run on.
  async unwritten(context, vm, error) {
    const left = await context.calls.release(vm);
    vm.unhandledEnding = undefined;
    const record = `record of ${vm.record.instanceId}: ${(error as Error).message}`;
    context.journal.changeInMemory(vm, incompletePatch([...left, record]));
  },
});

/** `destroyed` only when the driver found nothing left. */
export const destroyVm: Verb<'destroyVm'> = {
  ...removal,
  async execute(context, args, job) {
    const result = await removal.execute(context, args, job);
    await sweepContent(context);
    return result;
  },
};

async function settle(
  { calls, store }: EngineContext,
  vm: Vm,
  _operation: OperationRecord,
  cause: Breakage,
): Promise<Settlement> {
  const left = cause === 'crash' ? [...(await calls.release(vm))] : leftBy(cause.error);
  vm.unhandledEnding = undefined;
  if (left.length === 0) {
    const problem = await store.clearVm(vm.record.instanceId).then(
      () => undefined,
      (error: Error) => error.message,
    );
    if (problem === undefined) return carriedThrough(DESTROYED);
    left.push(`folder of ${vm.record.instanceId}: ${problem}`);
  }
  return asFound(incompletePatch(left));
}

function leftBy(error: unknown): string[] {
  if (isVmRuntimeError(error, 'MICROVM_CLEANUP_INCOMPLETE')) return [...error.details.left];
  return [`unknown, as the destroy broke off: ${error instanceof Error ? error.message : String(error)}`];
}

const DESTROYED: RecordPatch = {
  ...endedPatch(endingOf('killed')),
  state: 'destroyed',
  secrets: undefined,
  ending: undefined,
  stop: undefined,
  cleanup: undefined,
};

function incompletePatch(left: readonly string[]): RecordPatch {
  return { ...endedPatch(endingOf('killed')), state: 'crashed', stop: undefined, cleanup: { left } };
}

function incomplete(vm: Vm, left: readonly string[]): VmRuntimeError<'MICROVM_CLEANUP_INCOMPLETE'> {
  const { vmId } = vm.record;
  return new VmRuntimeError(
    'MICROVM_CLEANUP_INCOMPLETE',
    `destroy "${vmId}": left behind: ${left.join(', ')}`,
    { details: { vmId, left } },
  );
}

/**
 * Destroys a VM outside any job, as `close()` does for those that must not outlive their owner. Errors:
 * CLEANUP_INCOMPLETE.
 */
export async function destroyUnwatched({ calls, store, journal }: EngineContext, vm: Vm): Promise<void> {
  const left = await calls.release(vm);
  if (left.length > 0) throw incomplete(vm, left);
  try {
    await store.clearVm(vm.record.instanceId);
    await journal.write(vm, DESTROYED);
  } catch (error) {
    // No process of the VM lives any more. The next open of the state directory, if the directory still
    // exists, finds that out.
    warnOf(`note that "${vm.record.vmId}" is destroyed`, error);
  }
}
