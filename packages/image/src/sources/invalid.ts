import { printable, VmRuntimeError } from '@microvm/runtime';

export interface InvalidImage {
  /** Where the image came from, as the caller named it. */
  readonly source: string;
  readonly reason: string;
  /** The file in the image, or the blob of it, that is to blame. */
  readonly entry?: string | undefined;
  readonly cause?: unknown;
}

/** What a stranger made wrong in an image. */
export function imageInvalid({ source, reason, entry, cause }: InvalidImage): VmRuntimeError {
  const where = entry === undefined ? '' : `, "${printable(entry)}"`;
  // A reason may have names in it that a stranger chose.
  const text = printable(reason);
  return new VmRuntimeError('MICROVM_IMAGE_INVALID', `image ${printable(source)}${where}: ${text}`, {
    details: { source, reason: text, ...(entry === undefined ? {} : { entry }) },
    ...(cause === undefined ? {} : { cause }),
  });
}
