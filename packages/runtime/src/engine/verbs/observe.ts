import { parseInstanceId } from '../../contract/ids.js';
import type { VerbArgs } from '../../contract/verbs.js';
import { endingOf } from '../ending.js';
import type { EngineContext } from '../engine-context.js';
import type { Vm } from '../fleet.js';
import type { Job } from '../job.js';
import { change, subjectOf } from '../journalled.js';
import type { JobResult } from '../record.js';
import { absorbEnding, asFound, ended, type Settlement } from '../settlement.js';
import type { Verb } from '../verb.js';
import { boot, requireSecrets } from './start.js';

type OwnArgs = VerbArgs<'observeVm'>;

const SHARED = {
  parse: { instanceId: parseInstanceId },
  needs: [],
  names: () => [],
  subject: ({ fleet }: EngineContext, { instanceId }: OwnArgs) => subjectOf(fleet.byInstance(instanceId)),
  answer: () => undefined,
} as const;

/** The runtime's own job after a guest or its VMM ended: what is left of the VMM is cleared away. */
export const observeVm: Verb<'observeVm'> = {
  ...SHARED,
  kind: 'observeVm',
  journal: 'single',
  async execute(context, { instanceId }, job) {
    const vm = context.fleet.byInstance(instanceId);
    // Another job of this VM may have dealt with it, or the VM may be gone by now.
    if (vm?.unhandledEnding === undefined) return {};
    await context.journal.step(`${job.kind}:accepted`);
    await absorbEnding(context, vm);
    await context.journal.step(`${job.kind}:committed`);
    return { instanceId };
  },
};

/**
 * The runtime's own job after a guest rebooted, when the spec says `onGuestReboot: 'restart'`: a cold boot on
 * the same disks.
 */
export const rebootVm: Verb<'rebootVm'> = {
  ...SHARED,
  kind: 'rebootVm',
  journal: 'effects',
  execute: reboot,
  settle: undoReboot,
};

async function reboot(context: EngineContext, { instanceId }: OwnArgs, job: Job): Promise<JobResult> {
  const { fleet, announcer, calls } = context;
  const vm = fleet.byInstance(instanceId);
  if (vm?.unhandledEnding?.reason !== 'reboot') return {};
  announcer.emit({ type: 'guest-rebooted', vmId: vm.record.vmId, instanceId });
  return change(context, vm, job, {
    async effects() {
      await calls.halt(vm);
      vm.unhandledEnding = undefined;
      if (vm.record.spec.secretsOptional !== true) requireSecrets(vm);
      return { patch: await boot(context, vm, job) };
    },
    settle: undoReboot,
  });
}

/** A guest that rebooted and could not be booted again is what it is without a restart: stopped. */
async function undoReboot(context: EngineContext, vm: Vm): Promise<Settlement> {
  return asFound(await ended(context, vm, vm.unhandledEnding ?? endingOf('reboot')));
}
