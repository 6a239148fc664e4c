export { createQemuRuntime, probeQemu, QEMU_SETTINGS } from './provider.js';
export type { QemuOptions } from './provider.js';
