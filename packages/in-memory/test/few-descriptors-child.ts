import { openTask, runFewDescriptorsChild } from '@microvm/conformance/few-descriptors-child';
import { createInMemoryRuntime } from '../src/index.js';

const [stateDir = ''] = process.argv.slice(2);
await runFewDescriptorsChild(openTask(stateDir, (folder) => createInMemoryRuntime({ stateDir: folder })));
