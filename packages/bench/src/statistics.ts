/** What a row shows of its samples. */
export interface Summary {
  readonly median: number;
  readonly p25: number;
  readonly p75: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

/**
 * The value below which a share `q` (0 to 1) of the sorted values lies, between two values by linear
 * interpolation.
 */
export function quantile(sorted: readonly number[], q: number): number {
  const position = (sorted.length - 1) * q;
  const low = sorted[Math.floor(position)];
  const high = sorted[Math.ceil(position)];
  if (low === undefined || high === undefined) throw new RangeError('a quantile of no values');
  return low + (high - low) * (position - Math.floor(position));
}

export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    median: quantile(sorted, 0.5),
    p25: quantile(sorted, 0.25),
    p75: quantile(sorted, 0.75),
    min: quantile(sorted, 0),
    max: quantile(sorted, 1),
    count: sorted.length,
  };
}

/**
 * Median of the ratios of the pairs. The two samples of a pair were taken one after the other, so a machine
 * that is slower for a while is slower for both, and the ratio stays what it is.
 */
export function pairedRatio(ours: readonly number[], theirs: readonly number[]): number {
  if (ours.length !== theirs.length) throw new RangeError('pairs of different lengths');
  return summarize(ours.map((value, index) => value / (theirs[index] ?? Number.NaN))).median;
}

/** Median of the differences of the pairs, for the same reason. */
export function pairedDifference(ours: readonly number[], theirs: readonly number[]): number {
  if (ours.length !== theirs.length) throw new RangeError('pairs of different lengths');
  return summarize(ours.map((value, index) => value - (theirs[index] ?? Number.NaN))).median;
}
