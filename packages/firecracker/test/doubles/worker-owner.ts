import { liveInWorker } from '@microvm/conformance/worker';
import { doubleFactory } from './doubles.js';

await liveInWorker(doubleFactory);
