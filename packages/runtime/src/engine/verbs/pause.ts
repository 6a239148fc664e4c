import { featureOf } from '../driver-features.js';
import { vmVerb } from '../journalled.js';
import { asFound, askVmm } from '../settlement.js';
import type { Verb } from '../verb.js';

export const pauseVm: Verb<'pauseVm'> = vmVerb({
  kind: 'pauseVm',
  needs: ['pause'],
  async effects({ calls, driver }, { vm, job }) {
    await calls.perform(job, (run) => featureOf(driver, 'pausing').pause(calls.driverVm(vm), run));
    return { state: 'paused' };
  },
  settle: async (context, vm) => asFound(await askVmm(context, vm)),
});
