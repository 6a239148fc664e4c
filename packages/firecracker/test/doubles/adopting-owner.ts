import { openAsOwner } from './open-as-owner.js';

// Another process that opens a state directory, says what it found, and lets its VMs run on.
const runtime = await openAsOwner();
const { adopted, ended, swept } = runtime.recovery;
console.log(JSON.stringify({ adopted, ended, swept }));
await runtime.close();
