import { runFewDescriptorsChild } from '@microvm/conformance/few-descriptors-child';
import { createFirecrackerRuntime } from '../../src/index.js';
import { imageDefaults } from '../factory.js';
import { DOUBLES } from './doubles-only.js';

const defaults = await imageDefaults();
await runFewDescriptorsChild((stateDir) => createFirecrackerRuntime({ ...DOUBLES, stateDir, defaults }));
