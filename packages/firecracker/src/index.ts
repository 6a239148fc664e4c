export { createFirecrackerRuntime, FIRECRACKER_SETTINGS, probeFirecracker } from './create-runtime.js';
export type { FirecrackerOptions } from './create-runtime.js';
