export { runCrashChild } from './crashes/run-crash-child.js';
export type { OpenOptions, ProviderFactory } from './factory.js';
