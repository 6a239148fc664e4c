import { absolute, object, undoneIfAborted } from './calls.js';
import type { AbortOptions, SystemError } from './errors.js';
import { loadAddon } from './load.js';

/** Held until `release()` or the end of this process, however it ends. */
export interface DirectoryLock {
  /**
   * Releases the lock. Idempotent, synchronous. The file stays, because to remove it would let two owners in.
   */
  release(): void;
}

/** Why a directory could not be locked; `pid` and `startTime` name the holder when they could be read. */
export interface LockHeldError extends SystemError {
  readonly code: 'EWOULDBLOCK';
  readonly pid?: number;
  readonly startTime?: string;
}

class HeldLock implements DirectoryLock {
  readonly #id: number;

  constructor(id: number) {
    this.#id = id;
  }

  release(): void {
    loadAddon().unlockDirectory(this.#id);
  }
}

/**
 * Takes the exclusive lock of a directory (flock on `<path>/lock`). It is not inherited by processes made
 * with {@link spawnProcess} or `node:child_process`. A second lock in the same process fails too. An abort
 * lets go of it.
 *
 * @throws LockHeldError (as rejection) when it is held; SystemError otherwise.
 */
export function lockDirectory(path: string, options: AbortOptions = {}): Promise<DirectoryLock> {
  const { signal } = object(options, 'options');
  const folder = absolute(path, 'path');
  return undoneIfAborted(
    signal,
    () =>
      loadAddon()
        .lockDirectory(folder)
        .then((id) => new HeldLock(id)),
    (lock) => lock.release(),
  );
}
