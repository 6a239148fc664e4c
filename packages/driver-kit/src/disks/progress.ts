import type { CopyOptions } from '@microvm/native';
import type { Run } from '@microvm/runtime';

/** Tells a job how far a copy has come. */
export function progressOf(step: string, run: Run): NonNullable<CopyOptions['onProgress']> {
  return ({ copiedBytes, totalBytes }) =>
    run.progress({ step, done: copiedBytes, total: totalBytes, unit: 'bytes' });
}
