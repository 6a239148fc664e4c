import { statSync } from 'node:fs';
import { openAsOwner } from './open-as-owner.js';

// Another process that opens a state directory, makes a VM in it, says which user runs it, and leaves
// nothing.
const runtime = await openAsOwner();
const { vmm } = await runtime.createVm('b');
console.log(
  JSON.stringify({ uid: statSync(`/proc/${vmm?.pid ?? 0}`).uid, adopted: runtime.recovery.adopted }),
);
await runtime.destroyVm('b');
await runtime.close();
