import { stat } from 'node:fs/promises';
import { copyFile, type CopyOptions, type CopyResult } from '@microvm/native';
import { VmRuntimeError, type Run } from '@microvm/runtime';
import { progressOf } from './progress.js';

/** The size that a file may have: exactly so much, or at most so much. */
export type FileSize = { readonly expectedSizeBytes: number } | { readonly maxSizeBytes: number };

/** A file of a VM that its VMM or its guest may write to, so that nothing about it can be believed. */
export interface UntrustedFile {
  readonly vmId: string;
  /** The VM's name for the file, such as `disks/root.raw`. */
  readonly file: string;
  readonly size: FileSize;
  /** For the caller's progress. */
  readonly step: string;
}

/**
 * Copies a file of a VM into a folder that only our process can write to: by reflink where the file system
 * can, else all that is not zero. A file of the wrong size is refused before a byte is copied:
 * `MICROVM_UNEXPECTED_SIZE`. `from` may be a `/proc/self/fd` path.
 */
export async function copyBounded(
  from: string,
  to: string,
  untrusted: UntrustedFile,
  run: Run,
): Promise<CopyResult> {
  const options: CopyOptions = {
    ...untrusted.size,
    sparse: true,
    signal: run.signal,
    onProgress: progressOf(untrusted.step, run),
  };
  try {
    return await copyFile(from, to, options);
  } catch (error) {
    throw (await sizeFault(from, untrusted, error)) ?? error;
  }
}

/** The same codes come from a full file system and from a bad disk: it is the size that tells. */
async function sizeFault(
  from: string,
  { vmId, file, size }: UntrustedFile,
  error: unknown,
): Promise<VmRuntimeError | undefined> {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'EFBIG' && code !== 'EIO') return undefined;
  const sizeBytes = (await stat(from).catch(() => undefined))?.size;
  const expected =
    'expectedSizeBytes' in size ? `${size.expectedSizeBytes} bytes` : `at most ${size.maxSizeBytes} bytes`;
  // A file that cannot be looked at any more does not tell, and the copy's own error stays.
  if (sizeBytes === undefined || fits(sizeBytes, size)) return undefined;
  return new VmRuntimeError(
    'MICROVM_UNEXPECTED_SIZE',
    `copy ${file} of "${vmId}": it has ${sizeBytes} bytes, must have ${expected}`,
    { details: { vmId, file, sizeBytes, ...size }, cause: error },
  );
}

export function fits(sizeBytes: number, size: FileSize): boolean {
  return 'expectedSizeBytes' in size ? sizeBytes === size.expectedSizeBytes : sizeBytes <= size.maxSizeBytes;
}
