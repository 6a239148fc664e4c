import { parseVmId } from '../../contract/ids.js';
import { parseSecretName, parseSecretValue, type SecretsUpdate } from '../../contract/secrets.js';
import { withoutAgent } from '../../contract/errors.js';
import { configure, undoConfigure } from '../configure.js';
import type { EngineContext } from '../engine-context.js';
import type { Vm } from '../fleet.js';
import type { Job } from '../job.js';
import { change, onVm, vmAnswer } from '../journalled.js';
import type { JobResult } from '../record.js';
import { changeSecrets, refuseSecrets } from '../secret-changes.js';
import type { Verb } from '../verb.js';

const SHARED = {
  needs: ['guestAgent'],
  journal: 'effects',
  settle: undoConfigure,
  answer: vmAnswer,
} as const;

/**
 * The record has the name alone. After a crash the secret is gone whatever became of the job, as every secret
 * is whose owner died.
 */
export const setSecret: Verb<'setSecret'> = {
  ...SHARED,
  ...onVm('setSecret', (context, { vm, args, job }) => alter(context, vm, job, { [args.name]: args.value })),
  parse: { vmId: parseVmId, name: parseSecretName, value: parseSecretValue },
  withoutSecrets: ({ value, ...args }) => ({ args, secrets: value }),
};

export const deleteSecret: Verb<'deleteSecret'> = {
  ...SHARED,
  ...onVm('deleteSecret', (context, { vm, args, job }) => alter(context, vm, job, { [args.name]: null })),
  parse: { vmId: parseVmId, name: parseSecretName },
};

async function alter(context: EngineContext, vm: Vm, job: Job, changes: SecretsUpdate): Promise<JobResult> {
  if (vm.record.spec.agent === 'none') throw withoutAgent(vm.record.vmId);
  refuseSecrets(context, vm, changes);
  return change(context, vm, job, {
    async effects() {
      const patch = changeSecrets(vm, changes);
      // A paused guest cannot answer: it is told before its workload goes on.
      if (vm.record.state === 'running') await configure(context, vm, job);
      return { patch };
    },
    settle: undoConfigure,
  });
}
