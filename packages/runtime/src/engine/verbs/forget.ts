import { parseVmId } from '../../contract/ids.js';
import { onVm } from '../journalled.js';
import { noteRemoval } from '../removal.js';
import type { Verb } from '../verb.js';
import { removeTombstone } from './tombstone.js';

/** The tombstone goes, the snapshots stay. */
export const forgetVm: Verb<'forgetVm'> = {
  ...onVm('forgetVm', async (context, { vm, job }) => {
    const { journal } = context;
    const { instanceId } = vm.record;
    await journal.step(`${job.kind}:accepted`);
    await noteRemoval(context, job, { instanceId });
    await removeTombstone(context, vm);
    await journal.step(`${job.kind}:committed`);
    return { instanceId };
  }),
  parse: { vmId: parseVmId },
  needs: [],
  journal: 'single',
  isStillThere: ({ fleet }, { instanceId = '' }) => fleet.byInstance(instanceId) !== undefined,
  answer: () => undefined,
};
