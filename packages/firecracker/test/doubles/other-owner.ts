import { statSync } from 'node:fs';
import { createFirecrackerRuntime } from '../../src/index.js';
import { imageDefaults } from '../factory.js';
import { DOUBLES } from './doubles-only.js';

// Another process that opens a state directory, makes a VM in it, says which user runs it, and leaves
// nothing.
const [stateDir = '', registryDir = ''] = process.argv.slice(2);
const runtime = await createFirecrackerRuntime({
  ...DOUBLES,
  stateDir,
  registryDir,
  defaults: await imageDefaults(),
});
const { vmm } = await runtime.createVm('b');
console.log(
  JSON.stringify({ uid: statSync(`/proc/${vmm?.pid ?? 0}`).uid, adopted: runtime.recovery.adopted }),
);
await runtime.destroyVm('b');
await runtime.close();
