import type { ProcessIdentity } from '../contract/views.js';

/** An owned directory; the lock dies with the process. */
export interface DirectoryLock {
  release(): void | Promise<void>;
}

/**
 * The engine's port to the host. `@microvm/native` has these by the same names, so that it can be passed as
 * it is. All run off the main thread; their errors are in Node's shape (`code`, `errno`, `syscall`, `path`).
 */
export interface HostCalls {
  bootId(): string;
  /** Rejects with `EWOULDBLOCK` and the holder's `pid`, where another process holds it. */
  lockDirectory(path: string): Promise<DirectoryLock>;
  /**
   * Replaces the file whole and durably: after it resolved, the new content survives a power cut.
   * `keepSpare`: it will be replaced again and again, and may have a file beside it for that,
   * `.spare-<name>`.
   */
  writeDurable(
    path: string,
    data: Uint8Array | string,
    options?: { readonly keepSpare?: boolean },
  ): Promise<void>;
  removeDurable(path: string): Promise<void>;
  renameDurable(from: string, to: string): Promise<void>;
  processIdentity(pid: number): ProcessIdentity | undefined;
  /**
   * `root`: SHA-256, in hex, over the SHA-256 of each 4 MiB of the file. An abort rejects with the signal's
   * reason.
   */
  digestFile(path: string, options: { readonly signal: AbortSignal }): Promise<{ readonly root: string }>;
}
