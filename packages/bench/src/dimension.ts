/** Samples of one side, in the order in which they were taken. */
export interface Side {
  /** What was done, such as `QEMU by hand`. */
  readonly label: string;
  readonly samples: readonly number[];
}

/**
 * What a row should come to. `difference`: ours less theirs, in the row's unit. `report`: there is nothing to
 * hold it against; the figure is for the record.
 */
export type Aim =
  | { readonly kind: 'ratio'; readonly atMost: number }
  | { readonly kind: 'value'; readonly atMost: number }
  | { readonly kind: 'difference'; readonly atMost: number }
  | { readonly kind: 'report' };

/** One comparison: the pairs are `ours.samples[i]` and `theirs.samples[i]`. */
export interface Measurement {
  readonly name: string;
  readonly unit: 'ms' | 'µs' | 'MiB' | 'KiB' | 'per s' | '% of a core' | 'record writes';
  readonly ours: Side;
  readonly theirs?: Side;
  readonly aim: Aim;
  /** What is needed to do it again: sizes, counts. */
  readonly parameters: Readonly<Record<string, string | number | boolean>>;
}

export interface BenchRun {
  /** Few samples, small sizes: shows that it runs, not how fast. */
  readonly quick: boolean;
  /** Says what is being done; for people. */
  readonly log: (text: string) => void;
}

/** One file of `dimensions/`: a few rows that are measured together, in a process of their own. */
export interface Dimension {
  readonly name: string;
  readonly description: string;
  /** Flags of Node for the process. */
  readonly execArgv?: readonly string[];
  /** Needs QEMU and the default image. */
  readonly needsQemu: boolean;
  run(run: BenchRun): Promise<readonly Measurement[]>;
}
