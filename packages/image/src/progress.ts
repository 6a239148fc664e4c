/**
 * A step of work on images, in the order in which they come: first those of making the default image, then
 * those of bringing an image into the store and of sending one to a registry. Steps whose result is there
 * already do not appear.
 */
export type ImageStep =
  | 'find packages'
  | 'download'
  | 'unpack'
  | 'kernel'
  | 'modules'
  | 'disk'
  | 'initrd'
  | 'pull'
  | 'layers'
  | 'root file system'
  | 'push';

export interface ImageProgress {
  readonly step: ImageStep;
  readonly done: number;
  readonly total: number;
  readonly unit: 'bytes' | 'files' | 'steps';
}

export type OnImageProgress = (progress: ImageProgress) => void;

/** Runs one step that has no finer measure than begun and done. */
export async function reportStep<T>(
  onProgress: OnImageProgress,
  step: ImageStep,
  work: () => Promise<T>,
): Promise<T> {
  onProgress({ step, done: 0, total: 1, unit: 'steps' });
  const result = await work();
  onProgress({ step, done: 1, total: 1, unit: 'steps' });
  return result;
}
