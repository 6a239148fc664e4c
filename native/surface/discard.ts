import { absolute, object, unlessAborted } from './calls.js';
import type { AbortOptions } from './errors.js';
import { loadAddon } from './load.js';

export interface DiscardResult {
  readonly sizeBytes: number;
  /**
   * The first byte that is still there: at most a block before `sizeBytes - keepBytes`. What is before it
   * reads as zeros.
   */
  readonly startBytes: number;
}

/**
 * Gives the space before a regular file's last bytes back to the file system (fallocate,
 * FALLOC_FL_PUNCH_HOLE); its size and what is written to it meanwhile stay. So a log is bounded that another
 * process holds open and that cannot be cut.
 *
 * @throws SystemError (as rejection): `EOPNOTSUPP` where the file system has no holes, `ELOOP` for a link…
 */
export function discardFront(
  path: string,
  keepBytes: number,
  options: AbortOptions = {},
): Promise<DiscardResult> {
  const { signal } = object(options, 'options');
  const file = absolute(path, 'path');
  return unlessAborted(signal, () => loadAddon().discardFront(file, keepBytes));
}
