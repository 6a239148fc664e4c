import { liveInWorker } from '@microvm/conformance/worker';
import { qemuFactory } from './factory.js';

await liveInWorker(qemuFactory);
