import { endingOf } from '../ending.js';
import type { EngineContext } from '../engine-context.js';
import type { Vm } from '../fleet.js';
import type { Job } from '../job.js';
import { vmVerb } from '../journalled.js';
import { checkPinned } from '../pinned-files.js';
import { endedPatch, NEW_LIFE, type RecordPatch } from '../record-patch.js';
import type { OperationRecord } from '../record.js';
import { undone, type Settlement } from '../settlement.js';
import type { Verb } from '../verb.js';
import { resume, undoResume } from './resume.js';

/** A cold boot, or for a paused VM a resume. */
export const startVm: Verb<'startVm'> = vmVerb({
  kind: 'startVm',
  needs: [],
  effects: (context, { vm, job }) => (vm.record.state === 'paused' ? resume : boot)(context, vm, job),
  settle: (context, vm, operation) =>
    operation.from === 'paused' ? undoResume(context, vm) : undoBoot(context, vm, operation),
});

export async function boot(
  { calls, content, driver }: EngineContext,
  vm: Vm,
  job: Job,
): Promise<RecordPatch> {
  if (content !== undefined) await checkPinned(content, vm.record.pinned, job.signal);
  vm.told.beginLife(vm.record.spec);
  const { vmm } = await calls.perform(job, (run) => driver.boot(calls.driverVm(vm), run));
  vm.told.done();
  return { ...NEW_LIFE, vmm, memoryFrom: undefined, unrepaired: undefined };
}

async function undoBoot({ calls }: EngineContext, vm: Vm, { from }: OperationRecord): Promise<Settlement> {
  const cleanup = await calls.halt(vm);
  vm.unhandledEnding = undefined;
  if (cleanup === undefined) return undone({ state: from, vmm: undefined });
  return undone({ ...endedPatch(endingOf('unresponsive')), cleanup });
}
