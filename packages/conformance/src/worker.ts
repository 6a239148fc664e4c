export { liveInWorker } from './children/live-in-worker.js';
