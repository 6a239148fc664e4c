import { endingOf } from '../ending.js';
import type { EngineContext } from '../engine-context.js';
import type { Vm } from '../fleet.js';
import { vmVerb } from '../journalled.js';
import { endedPatch, type RecordPatch } from '../record-patch.js';
import type { OperationRecord } from '../record.js';
import { asFound, askVmm, carriedThrough, ended, type Breakage, type Settlement } from '../settlement.js';
import type { Verb } from '../verb.js';

export const stopVm: Verb<'stopVm'> = vmVerb({
  kind: 'stopVm',
  needs: [],
  async effects({ calls, driver }, { vm, job }) {
    const ending = await calls.performFinal(job, (run) => driver.shutdown(calls.driverVm(vm), run));
    vm.unhandledEnding = undefined;
    return endedPatch(ending);
  },
  settle,
});

async function settle(
  context: EngineContext,
  vm: Vm,
  _operation: OperationRecord,
  cause: Breakage,
): Promise<Settlement> {
  const { calls, driver } = context;
  const truth = await askVmm(context, vm);
  if (cause !== 'crash') return asFound(truth);
  if (truth.state !== 'running') return carriedThrough(stopped(truth));
  const boundMs = vm.record.spec.shutdownTimeoutMs + calls.abortGraceMs;
  const ending = await calls
    .bounded((run) => driver.shutdown(calls.driverVm(vm), run), boundMs)
    .catch(() => endingOf('killed'));
  return carriedThrough(await ended(context, vm, ending));
}

/**
 * A VMM that ended during a stop ended because of the stop. Nobody can say any more whether the guest had
 * flushed.
 */
function stopped(truth: RecordPatch): RecordPatch {
  const { ending } = truth;
  if (ending?.reason !== 'lost' && ending?.reason !== 'vmm-exit') return truth;
  return { ...truth, ...endedPatch({ ...ending, reason: 'killed' }) };
}
