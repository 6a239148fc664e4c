/**
 * Takes one sample and answers with it. Whatever it needs and leaves is its own business, outside of what it
 * measures.
 */
export type Sampler<T = number> = () => Promise<T>;

export interface InterleaveOptions {
  readonly pairs: number;
  /** Pairs that are not counted, first. */
  readonly warmups: number;
  readonly onPair?: (done: number, total: number) => void;
}

/** Samples both sides in pairs, one right after the other; which side goes first alternates. */
export async function interleave<T = number>(
  ours: Sampler<T>,
  theirs: Sampler<T>,
  { pairs, warmups, onPair }: InterleaveOptions,
): Promise<{ readonly ours: T[]; readonly theirs: T[] }> {
  const samples = { ours: [] as T[], theirs: [] as T[] };
  for (let pair = -warmups; pair < pairs; pair += 1) {
    const oursFirst = pair % 2 === 0;
    const first = await (oursFirst ? ours : theirs)();
    const second = await (oursFirst ? theirs : ours)();
    if (pair < 0) continue;
    samples.ours.push(oursFirst ? first : second);
    samples.theirs.push(oursFirst ? second : first);
    onPair?.(pair + 1, pairs);
  }
  return samples;
}

/** Milliseconds that the work took. */
export async function timeMs(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
