import { setTimeout as delay } from 'node:timers/promises';
import { openAsOwner } from './open-as-owner.js';

// A process that owns VMs and is asked for nothing.
const runtime = await openAsOwner();
for (const vmId of ['a', 'b', 'c']) {
  await runtime.createVm(vmId);
  await runtime.startVm(vmId);
}
// Threads of ours that have nothing to do end after a tenth of a second.
await delay(1000);
process.once('message', () => {
  void (async () => {
    for (const { vmId } of await runtime.listVms()) await runtime.destroyVm(vmId);
    await runtime.close();
    process.disconnect();
  })();
});
process.send?.('idle');
