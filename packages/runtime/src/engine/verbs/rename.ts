import { parseVmId } from '../../contract/ids.js';
import type { VerbArgs } from '../../contract/verbs.js';
import type { EngineContext } from '../engine-context.js';
import { guard, guardFree } from '../fleet.js';
import type { Job } from '../job.js';
import { subjectOf, vmAnswer } from '../journalled.js';
import type { JobResult } from '../record.js';
import { absorbEnding } from '../settlement.js';
import type { Verb } from '../verb.js';
import { replaceTombstone } from './tombstone.js';

export const renameVm: Verb<'renameVm'> = {
  kind: 'renameVm',
  parse: { oldVmId: parseVmId, newVmId: parseVmId },
  needs: ['rename'],
  journal: 'single',
  names: ({ oldVmId, newVmId }) => [...new Set([oldVmId, newVmId])],
  subject: ({ fleet }, { oldVmId }) => subjectOf(fleet.get(oldVmId)),
  execute,
  answer: vmAnswer,
};

async function execute(
  context: EngineContext,
  { oldVmId, newVmId }: VerbArgs<'renameVm'>,
  job: Job,
): Promise<JobResult> {
  const { fleet, journal, announcer } = context;
  const vm = fleet.require(oldVmId);
  await absorbEnding(context, vm);
  guard(vm, 'renameVm');
  const { instanceId } = vm.record;
  if (newVmId === oldVmId) return { instanceId };
  guardFree(fleet, newVmId);
  const tombstone = fleet.get(newVmId);
  await journal.step(`${job.kind}:accepted`);
  job.signal.throwIfAborted();
  await journal.end(vm, job, { vmId: newVmId });
  fleet.rename(vm, oldVmId);
  if (tombstone !== undefined) await replaceTombstone(context, tombstone);
  await journal.step(`${job.kind}:committed`);
  announcer.emit({ type: 'vm-renamed', instanceId, from: oldVmId, to: newVmId });
  return { instanceId };
}
