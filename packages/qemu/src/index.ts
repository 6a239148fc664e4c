export { createQemuRuntime, probeQemu, QEMU_SETTINGS } from './create-runtime.js';
export type { QemuOptions } from './create-runtime.js';
