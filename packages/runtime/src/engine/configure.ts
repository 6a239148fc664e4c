import { featureOf } from './driver-features.js';
import type { EngineContext } from './engine-context.js';
import type { Vm } from './fleet.js';
import type { Job } from './job.js';
import type { OperationRecord } from './record.js';
import { askVmm, undone, type Settlement } from './settlement.js';

/** Tells the agent of a running guest what is pending. */
export async function configure({ calls, driver }: EngineContext, vm: Vm, job: Job): Promise<void> {
  await calls.perform(job, (run) => featureOf(driver, 'guestAgent').configure(calls.driverVm(vm), run));
  vm.told.done();
}

/**
 * The same outside any job. An agent that does not answer is told when the guest goes on after a pause, or
 * with the next change. Never rejects.
 */
export async function configureIfReachable({ calls, driver }: EngineContext, vm: Vm): Promise<void> {
  if (driver.guestAgent === undefined || vm.record.spec.agent === 'none') return;
  const { guestAgent } = driver;
  await calls
    .bounded((run) => guestAgent.configure(calls.driverVm(vm), run))
    .then(
      () => vm.told.done(),
      () => undefined,
    );
}

/** Settles a change of settings that broke off: the agent is told once more what the record has. */
export async function undoConfigure(
  context: EngineContext,
  vm: Vm,
  { from }: OperationRecord,
): Promise<Settlement> {
  if (from !== 'running' && from !== 'paused') return undone({});
  vm.told.doubtEnvironment();
  const truth = await askVmm(context, vm);
  if (truth.state === 'running') await configureIfReachable(context, vm);
  return undone(truth);
}
