import { binaryPath } from './load.js';

/**
 * The path of the static executable `microvm-watcher`. Start it with {@link spawnProcess}, the reading end of
 * a pipe (or a socket) as descriptor 3, and write lines to the other end:
 *
 * - `add <pid> <startTime> <directory>` — the directory is absolute and is the rest of the line, or `-` for
 *   none; another one of the same process comes on top;
 * - `del <pid>` — forget it.
 *
 * When the other end is closed, however the owner ended, it kills each listed process that still has its
 * start time, waits for its end, removes the directory trees, in the order given (follows no link, crosses no
 * mount; a cgroup too), and exits 0. Lines that make no sense are ignored and counted on standard error.
 */
export function watcherPath(): string {
  return binaryPath('microvm-watcher');
}
