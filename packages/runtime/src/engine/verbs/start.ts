import { VmRuntimeError } from '../../contract/errors.js';
import { parseVmId } from '../../contract/ids.js';
import { parseFlag } from '../../contract/options.js';
import { parseSecretsUpdate, type SecretsUpdate } from '../../contract/secrets.js';
import { endingOf } from '../ending.js';
import type { EngineContext } from '../engine-context.js';
import type { Vm } from '../fleet.js';
import type { Job } from '../job.js';
import { change, onVm, vmAnswer, type Work } from '../journalled.js';
import { checkPinned } from '../pinned-files.js';
import { endedPatch, NEW_LIFE, type RecordPatch } from '../record-patch.js';
import type { JobResult, OperationRecord } from '../record.js';
import { changeSecrets, refuseSecrets } from '../secret-changes.js';
import { undone, type Settlement } from '../settlement.js';
import type { Verb } from '../verb.js';
import { resume, undoResume } from './resume.js';

/** A cold boot, or for a paused VM a resume. */
export const startVm: Verb<'startVm'> = {
  ...onVm('startVm', perform),
  parse: {
    vmId: parseVmId,
    secrets: parseSecretsUpdate,
    secretsOptional: parseFlag,
  },
  needs: [],
  journal: 'effects',
  settle,
  withoutSecrets: ({ secrets, ...args }) =>
    secrets === undefined
      ? { args, secrets: undefined }
      : { args: { ...args, secrets: Object.keys(secrets) }, secrets },
  answer: vmAnswer,
};

async function perform(context: EngineContext, { vm, args, job }: Work<'startVm'>): Promise<JobResult> {
  const { secrets = {}, secretsOptional = vm.record.spec.secretsOptional === true } = args;
  refuseSecrets(context, vm, secrets);
  const isResume = vm.record.state === 'paused';
  if (!isResume && !secretsOptional) requireSecrets(vm, secrets);
  return change(context, vm, job, {
    async effects() {
      const names = changeSecrets(vm, secrets);
      const patch = await (isResume ? resume : boot)(context, vm, job);
      return { patch: { ...patch, ...names } };
    },
    settle,
  });
}

function settle(context: EngineContext, vm: Vm, operation: OperationRecord): Promise<Settlement> {
  return operation.from === 'paused' ? undoResume(context, vm) : undoBoot(context, vm, operation);
}

/** Throws `MICROVM_SECRETS_MISSING` for secrets of the VM that are neither known nor given now. */
export function requireSecrets(vm: Vm, given: SecretsUpdate = {}): void {
  const { vmId, secrets = [] } = vm.record;
  const names = secrets.filter((name) => !vm.told.secrets.isGiven(name) && !Object.hasOwn(given, name));
  if (names.length === 0) return;
  throw new VmRuntimeError(
    'MICROVM_SECRETS_MISSING',
    `start "${vmId}": nobody has ${names.join(', ')} any more`,
    {
      details: { vmId, names },
    },
  );
}

export async function boot(
  { calls, content, driver }: EngineContext,
  vm: Vm,
  job: Job,
): Promise<RecordPatch> {
  if (content !== undefined) await checkPinned(content, vm.record.pinned, job.signal);
  vm.told.beginLife(vm.record);
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
