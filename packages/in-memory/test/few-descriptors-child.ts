import { runFewDescriptorsChild } from '@microvm/conformance/few-descriptors-child';
import { createInMemoryRuntime } from '../src/index.js';

await runFewDescriptorsChild((stateDir) => createInMemoryRuntime({ stateDir }));
