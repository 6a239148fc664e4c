export type { ProviderFactory } from './factory.js';
export { runPowerCutChild } from './power-cuts/run-power-cut-child.js';
