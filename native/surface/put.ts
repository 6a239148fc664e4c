import { abortable, absolute, object } from './calls.js';
import type { CopyProgress, CopyResult, SizeOptions } from './copy.js';
import { loadAddon } from './load.js';

/** The source of a durable file's content: exactly one of the three. */
export type DurableSource =
  /** The bytes, or a text in UTF-8; at most 256 MiB. */
  | { readonly data: Uint8Array | string }
  /** A copy of a regular file, made as {@link copyFile} does. */
  | { readonly copy: string }
  /**
   * A regular file, which becomes the target and loses its name. It must be on the same file system
   * (`EXDEV`), and nobody may write to it any more. A failure leaves the file in its place, perhaps with its
   * new owner and mode.
   */
  | { readonly move: string };

export interface PutDurableOptions extends SizeOptions {
  /** Permission bits. Default: those of the source; 0o600 for data. */
  readonly mode?: number;
  /** Owner and group, set before the file has any content. Default: ours; a moved file keeps its own. */
  readonly uid?: number;
  readonly gid?: number;
  /**
   * For a copy: turn blocks of zeros into holes, as {@link CopyOptions.sparse}. Holes of the source are
   * always kept.
   */
  readonly sparse?: boolean;
  /** False: reject with `EEXIST` when something is at the target. Default true: the file takes its place. */
  readonly replace?: boolean;
  /** For a copy: called now and then (about every 50 ms), never after the promise settled. */
  readonly onProgress?: (progress: CopyProgress) => void;
  /**
   * Aborting rejects with the signal's reason and leaves nothing, unless the file is about to get its name:
   * that is carried through.
   */
  readonly signal?: AbortSignal;
}

/**
 * Puts a file into a folder so that it survives a power cut. When the promise resolves, content, owner, mode
 * and name are on the disk. The name appears only when the content is there: a crash at any moment leaves the
 * old state or the whole new file, except `.tmp-<16 hex digits>` where the file system knows no files without
 * a name.
 *
 * The flushes of calls in flight at the same time, of {@link writeDurable} too, are committed together, off
 * the main thread: many at once cost little more than one. Calls on the same target take effect in the order
 * in which their content was ready.
 *
 * The folder must be there; that the folder itself survives is up to whoever made it.
 *
 * @throws SystemError (as rejection): `EEXIST`; `EFBIG` and `EIO` as of {@link SizeOptions}; `ENOSPC`…
 * Nothing is at the target then that was not there before, unless the syscall is `fsync` with the path of the
 * folder: then the file is there, and may be gone after a power cut.
 */
export function putDurable(
  source: DurableSource,
  target: string,
  putOptions: PutDurableOptions = {},
): Promise<CopyResult> {
  const { signal, ...options } = object(putOptions, 'options');
  const { data, copy, move }: AnySource = object(source, 'source');
  const request = {
    ...(data === undefined ? {} : { data }),
    ...(copy === undefined ? {} : { copy: absolute(copy, 'source.copy') }),
    ...(move === undefined ? {} : { move: absolute(move, 'source.move') }),
  };
  const path = absolute(target, 'target');
  return abortable(signal, () => loadAddon().putDurable(request, path, options));
}

/** As who calls from JavaScript may give it; the addon wants exactly one. */
interface AnySource {
  readonly data?: Uint8Array | string;
  readonly copy?: string;
  readonly move?: string;
}
