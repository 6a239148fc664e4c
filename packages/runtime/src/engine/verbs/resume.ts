import { featureOf } from '../driver-features.js';
import type { EngineContext } from '../engine-context.js';
import type { Vm } from '../fleet.js';
import type { Job } from '../job.js';
import { vmVerb } from '../journalled.js';
import { NEW_LIFE, type RecordPatch } from '../record-patch.js';
import { asFound, askVmm, undone, type Settlement } from '../settlement.js';
import type { Verb } from '../verb.js';

export const resumeVm: Verb<'resumeVm'> = vmVerb({
  kind: 'resumeVm',
  needs: ['pause'],
  effects: (context, { vm, job }) => resume(context, vm, job),
  settle: undoResume,
});

export async function resume({ calls, driver }: EngineContext, vm: Vm, job: Job): Promise<RecordPatch> {
  const how = vm.record.unrepaired === true ? 'restore' : 'pause';
  await calls.perform(job, (run) => featureOf(driver, 'pausing').resume(calls.driverVm(vm), how, run));
  vm.told.done();
  return { ...NEW_LIFE, unrepaired: undefined };
}

export async function undoResume(context: EngineContext, vm: Vm): Promise<Settlement> {
  const truth = await askVmm(context, vm);
  if (truth.state !== 'running') return undone(truth);
  const { calls, driver } = context;
  try {
    await calls.bounded((run) => featureOf(driver, 'pausing').pause(calls.driverVm(vm), run));
    return undone({ ...truth, state: 'paused' });
  } catch {
    return asFound(await askVmm(context, vm));
  }
}
