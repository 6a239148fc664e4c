import { abortable, absolute, object } from './calls.js';
import { loadAddon } from './load.js';

export interface CopyProgress {
  /** Bytes of the source dealt with, holes included. */
  readonly copiedBytes: number;
  readonly totalBytes: number;
}

/**
 * The size that a source may have: for a file to which somebody else, such as a VMM, may write. Another size
 * is refused before anything is read or made: `EFBIG` when the file is larger, `EIO` when it is smaller; the
 * error's `detail` has the numbers.
 */
export interface SizeOptions {
  /** Exactly so many bytes. */
  readonly expectedSizeBytes?: number;
  /** At most so many bytes. */
  readonly maxSizeBytes?: number;
}

export interface CopyOptions extends SizeOptions {
  /** Called now and then (about every 50 ms), never after the promise settled. Not called for a reflink. */
  readonly onProgress?: (progress: CopyProgress) => void;
  /** Aborting rejects with the signal's reason and leaves nothing. */
  readonly signal?: AbortSignal;
  /** Also fsync the file and its folder; default false. */
  readonly durable?: boolean;
  /**
   * Also turn blocks of zeros (4 KiB) into holes; default false. Holes of the source are always kept. A
   * reflink is not changed, because it shares the blocks of the source. Not for a chain of diff snapshots, in
   * which a hole and zeros differ.
   */
  readonly sparse?: boolean;
}

export interface CopyResult {
  /**
   * The first of these that the file systems could do; `copy`: through this process's memory, by several
   * threads.
   */
  readonly method: 'reflink' | 'copy_file_range' | 'copy';
  readonly sizeBytes: number;
  /** Bytes that were written; 0 for a reflink. */
  readonly dataBytes: number;
}

/**
 * Copies a regular file: by reflink, else by copy_file_range (where that is more than a loop, or the file is
 * small), else through memory with a few threads; holes are kept, and the last two read and write the data
 * only. The target appears whole or not at all (a file without a name, else `.tmp-…` beside it, until then),
 * and replaces what was there. It is ours and has the permission bits of the source.
 *
 * A file of a hostile folder: open it with {@link openBeneath}, and give `/proc/self/fd/<descriptor>` as
 * `from`.
 *
 * @throws SystemError (as rejection), and nothing is left then: `ENOSPC`; `EIO` when the source became
 * shorter meanwhile; `ENOENT` when it is not there or lost its last name meanwhile…
 */
export function copyFile(from: string, to: string, copyOptions: CopyOptions = {}): Promise<CopyResult> {
  const { signal, ...options } = object(copyOptions, 'options');
  const [source, target] = [absolute(from, 'from'), absolute(to, 'to')];
  return abortable(signal, () => loadAddon().copyFile(source, target, options));
}
