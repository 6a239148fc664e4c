import type { Survival } from './power-lab.js';

/** How the power goes. */
export interface CutKind {
  readonly title: string;
  /** What is done in the step, before the power goes. */
  readonly first: 'nothing' | 'sync' | 'shutdown';
  readonly survival: Survival;
}

export const AT_ONCE: CutKind = {
  title: 'nothing was written back',
  first: 'nothing',
  survival: 'none',
};

/**
 * From the plainest to the nastiest. What the kernel has not written back is lost in all of them; in the
 * middle of its writing back, before the first flush of that, the disk has some of the writes, and not in the
 * order in which they came.
 */
export const CUT_KINDS: readonly CutKind[] = [
  AT_ONCE,
  { title: 'half of the writes back were done', first: 'sync', survival: 'writes' },
  { title: 'the writes back were torn', first: 'sync', survival: 'sectors' },
  // xfs_io's shutdown: the file system stops where it is, and all that the disk got is there.
  { title: 'the file system was shut down', first: 'shutdown', survival: 'all' },
];
