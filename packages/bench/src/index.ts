export { pairedRatio, quantile, summarize, type Summary } from './statistics.js';
export { toRow, type Row } from './report.js';
export type { Aim, Dimension, Measurement, Side } from './dimension.js';
