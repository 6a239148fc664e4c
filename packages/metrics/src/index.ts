export { watchRuntime } from './runtime-metrics.js';
export type { RuntimeMetrics, RuntimeMetricsOptions } from './runtime-metrics.js';
