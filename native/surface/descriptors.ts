import { loadAddon } from './load.js';

/**
 * Closes a descriptor that a call of this package has yielded. `fs.closeSync` closes it as well, but in a
 * worker Node counts the descriptors that were opened by `fs.open`, and warns of every other one that is
 * closed by `fs.close`.
 *
 * @throws SystemError: `EBADF` when nothing has this number. Any other error of close(2) is not told: the
 * number is free after it.
 */
export function closeDescriptor(fd: number): void {
  loadAddon().closeDescriptor(fd);
}

export interface PipeEnds {
  readonly read: number;
  readonly write: number;
}

/**
 * A pipe between two programs, such as one that {@link flattenLayers} writes to and a child reads from. The
 * child gets its end as a number in `stdio`; close it here when the child has been started.
 *
 * @returns close-on-exec descriptors; the caller owns both: {@link closeDescriptor}.
 * @throws SystemError: `EMFILE`, `ENFILE`.
 */
export function openPipe(): PipeEnds {
  return loadAddon().openPipe();
}
