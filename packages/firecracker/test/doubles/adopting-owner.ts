import { createFirecrackerRuntime } from '../../src/index.js';
import { imageDefaults } from '../factory.js';
import { DOUBLES } from './doubles-only.js';

// Another process that opens a state directory, says what it found, and lets its VMs run on.
const [stateDir = ''] = process.argv.slice(2);
const runtime = await createFirecrackerRuntime({ ...DOUBLES, stateDir, defaults: await imageDefaults() });
const { adopted, ended, swept } = runtime.recovery;
console.log(JSON.stringify({ adopted, ended, swept }));
await runtime.close();
