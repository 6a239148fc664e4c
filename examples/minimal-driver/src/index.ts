export { MinimalDriver } from './driver.js';
export { createMinimalRuntime } from './provider.js';
export type { MinimalOptions } from './provider.js';
