import { openTask, runFewDescriptorsChild } from '@microvm/conformance/few-descriptors-child';
import { createFirecrackerRuntime } from '../../src/index.js';
import { imageDefaults } from '../factory.js';
import { DOUBLES } from './doubles-only.js';

const [stateDir = ''] = process.argv.slice(2);
const defaults = await imageDefaults();
await runFewDescriptorsChild(
  openTask(stateDir, (folder) => createFirecrackerRuntime({ ...DOUBLES, stateDir: folder, defaults })),
);
