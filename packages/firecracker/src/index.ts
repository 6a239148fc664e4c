export { createFirecrackerRuntime, FIRECRACKER_SETTINGS, probeFirecracker } from './provider.js';
export type { FirecrackerOptions } from './provider.js';
