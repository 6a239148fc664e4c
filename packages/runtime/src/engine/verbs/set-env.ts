import { deepFreeze } from '../../contract/deep-freeze.js';
import {
  changedEnvironment,
  environmentProblem,
  parseEnvironmentUpdate,
} from '../../contract/environment.js';
import { invalidArgument, withoutAgent } from '../../contract/errors.js';
import { parseVmId } from '../../contract/ids.js';
import { configure, undoConfigure } from '../configure.js';
import type { EngineContext } from '../engine-context.js';
import { change, onVm, vmAnswer, type Work } from '../journalled.js';
import type { JobResult } from '../record.js';
import type { Verb } from '../verb.js';

/** The environment is a part of the VM's spec, so its record keeps it and a snapshot holds it. */
export const setEnv: Verb<'setEnv'> = {
  ...onVm('setEnv', perform),
  parse: { vmId: parseVmId, env: parseEnvironmentUpdate },
  needs: ['guestAgent'],
  journal: 'effects',
  settle: undoConfigure,
  answer: vmAnswer,
};

async function perform(context: EngineContext, { vm, args, job }: Work<'setEnv'>): Promise<JobResult> {
  const { vmId, spec } = vm.record;
  if (spec.agent === 'none') throw withoutAgent(vmId);
  const env = changedEnvironment(spec.env ?? {}, args.env);
  const problem = environmentProblem(env);
  if (problem !== undefined) throw invalidArgument('env', `${problem}, together with those that are there`);
  return change(context, vm, job, {
    async effects() {
      vm.told.want(env);
      if (vm.record.state === 'running') await configure(context, vm, job);
      return { patch: { spec: deepFreeze({ ...vm.record.spec, env }) } };
    },
    settle: undoConfigure,
  });
}
