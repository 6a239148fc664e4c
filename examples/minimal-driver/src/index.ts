export { MinimalDriver } from './driver.js';
export { createMinimalRuntime } from './create-runtime.js';
export type { MinimalOptions } from './create-runtime.js';
