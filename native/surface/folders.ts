import { constants } from 'node:fs';
import { abortable, absolute, claimed, invalid, object } from './calls.js';
import type { AbortOptions, SystemError } from './errors.js';
import { loadAddon } from './load.js';

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = constants;

/** As of `fs.open`. */
const OPEN_FLAGS = {
  r: O_RDONLY,
  'r+': O_RDWR,
  w: O_WRONLY | O_CREAT | O_TRUNC,
  wx: O_WRONLY | O_CREAT | O_EXCL,
  'w+': O_RDWR | O_CREAT | O_TRUNC,
  'wx+': O_RDWR | O_CREAT | O_EXCL,
  a: O_WRONLY | O_CREAT | O_APPEND,
  ax: O_WRONLY | O_CREAT | O_EXCL | O_APPEND,
  'a+': O_RDWR | O_CREAT | O_APPEND,
  'ax+': O_RDWR | O_CREAT | O_EXCL | O_APPEND,
} as const;

export interface OpenBeneathOptions extends AbortOptions {
  /** Flags as of `fs.open`: a string, or a number of `O_*` bits; default `r`. Always close-on-exec. */
  readonly flags?: keyof typeof OPEN_FLAGS | number;
  /** Permission bits of a file that it makes (less the umask); default 0o600. */
  readonly mode?: number;
}

function openFlags(flags: keyof typeof OPEN_FLAGS | number): number {
  if (typeof flags !== 'string') return flags;
  if (Object.hasOwn(OPEN_FLAGS, flags)) return OPEN_FLAGS[flags];
  throw invalid('flags', `one of ${Object.keys(OPEN_FLAGS).join(', ')}, or a number`);
}

/**
 * Opens a regular file or a socket below a folder whose content may be hostile: whatever is done to it
 * meanwhile, the file lies beneath and no link was followed. Other things are refused untouched: a FIFO does
 * not hang, a device is not opened.
 *
 * @returns a descriptor, which the caller owns ({@link closeDescriptor}). Of a socket it is a mere handle
 * (O_PATH, the flags do not matter): connect to `/proc/self/fd/<descriptor>` while it is open.
 * @throws TypeError for a name that is no plain relative path; SystemError (as rejection): `ELOOP` or
 * `ENOTDIR` for a link on the way, `EISDIR` for a folder, `EINVAL` for a FIFO or a device, `ENOENT`…
 */
export function openBeneath(root: string, name: string, options: OpenBeneathOptions = {}): Promise<number> {
  const { flags = 'r', mode = 0o600, signal } = object(options, 'options');
  const folder = absolute(root, 'root');
  const bits = openFlags(flags);
  const opened = abortable(signal, () => loadAddon().openBeneath(folder, name, bits, mode));
  return opened.then(({ id, fd }) => claimed(id, fd));
}

export interface RemovedTree {
  /** Files, links, sockets and so on that were removed. */
  readonly files: number;
  readonly folders: number;
  /**
   * The paths that could not be removed, with the reason: `EXDEV` is a mount. Only the first 32 are listed,
   * and not the folders that hold them, which remain too. Empty when all is gone.
   */
  readonly left: readonly SystemError[];
  /** How many there are in all. */
  readonly leftCount: number;
}

/**
 * Removes a folder with all that is in it, as far as possible, and says what was removed. Crosses no mount
 * (before Linux 5.6 a bind mount of the same file system is not seen) and follows no link. The counts are 0
 * when there was no folder. An abort ends the call early: what was removed is gone, and the call may be made
 * again.
 */
export function removeTree(root: string, options: AbortOptions = {}): Promise<RemovedTree> {
  const { signal } = object(options, 'options');
  const folder = absolute(root, 'root');
  return abortable(signal, () => loadAddon().removeTree(folder));
}
