import { abortable, absolute, object } from './calls.js';
import type { SizeOptions } from './copy.js';
import { loadAddon } from './load.js';

export interface DigestOptions extends SizeOptions {
  /** Bytes in a chunk, 4 KiB to 1 GiB; default 4 MiB. The last chunk may be shorter. */
  readonly chunkBytes?: number;
  /** Aborting rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface FileDigest {
  readonly sizeBytes: number;
  readonly chunkBytes: number;
  /** SHA-256 over the SHA-256 digests of the chunks (as bytes, one after the other), in hex. */
  readonly root: string;
}

/**
 * Digests a regular file in chunks, with all processors, off the main thread. Holes are not read; they count
 * as zeros. The memory that it takes does not depend on the size of the file.
 *
 * @throws SystemError (as rejection): `EFBIG` for a file larger than the caller allows, 16 TiB without a word
 * of the caller; `EIO` with syscall `read` when the size changed meanwhile.
 */
export function digestFile(path: string, digestOptions: DigestOptions = {}): Promise<FileDigest> {
  const { signal, ...options } = object(digestOptions, 'options');
  const file = absolute(path, 'path');
  return abortable(signal, () => loadAddon().digestFile(file, options));
}
