import { absolute, object, unlessAborted } from './calls.js';
import type { AbortOptions } from './errors.js';
import { loadAddon } from './load.js';

export interface WriteDurableOptions extends AbortOptions {
  /**
   * For a file that is written again and again. The file that is replaced stays beside the new one as
   * `.spare-<name>`, and the next write goes into it, so that the file system need not make and free a file
   * each time. Whoever opened the file two writes ago may then read a mixture. Without effect where the file
   * system cannot exchange names (`RENAME_EXCHANGE`). Default: false.
   */
  readonly keepSpare?: boolean;
}

/**
 * Replaces a file atomically and durably: when the promise resolves, the new content survives a power cut; a
 * crash at any moment leaves the old or the new content. A temporary file named `.tmp-<16 hex digits>` exists
 * beside the target meanwhile (only a kill leaves one behind). Mode 0600 for a new file, that of the old one
 * else.
 *
 * Calls in flight at the same time are committed together, so many at once cost little more than one. Calls
 * on the same path take effect in the order they were made; so do those on a folder and on what is in it.
 *
 * An abort is of use only before the call: afterwards nobody could say which of the two contents a crash
 * would leave.
 *
 * @throws SystemError (as rejection); the old content is untouched then, unless the syscall is `fsync` of the
 * folder.
 */
export function writeDurable(
  path: string,
  data: Uint8Array | string,
  options: WriteDurableOptions = {},
): Promise<void> {
  const { signal, keepSpare = false } = object(options, 'options');
  const file = absolute(path, 'path');
  return unlessAborted(signal, () => loadAddon().writeDurable(file, data, keepSpare));
}

/**
 * Unlinks a file, durably. Ordered and committed together with {@link writeDurable}. `ENOENT` when there is
 * none.
 */
export function removeDurable(path: string, options: AbortOptions = {}): Promise<void> {
  const { signal } = object(options, 'options');
  const file = absolute(path, 'path');
  return unlessAborted(signal, () => loadAddon().removeDurable(file));
}

/**
 * Renames a file or folder, durably in both folders; what is at `to` is replaced as by rename(2). Ordered and
 * committed together with {@link writeDurable}.
 */
export function renameDurable(from: string, to: string, options: AbortOptions = {}): Promise<void> {
  const { signal } = object(options, 'options');
  const [source, target] = [absolute(from, 'from'), absolute(to, 'to')];
  return unlessAborted(signal, () => loadAddon().renameDurable(source, target));
}
