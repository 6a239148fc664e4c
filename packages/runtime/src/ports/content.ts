import type { Sweep } from '../contract/runtime.js';

/** A file that is pinned by its content. */
export interface PinnedContent {
  readonly sizeBytes: number;
  /** Root over the SHA-256 of each 4 MiB chunk, in hex. */
  readonly digest: string;
}

export interface ContentCall {
  readonly signal: AbortSignal;
}

/**
 * The engine's port to a store of files by content: the kernels, initrds and shared drives of all VMs, once
 * each. A file of the store is never changed, so that a VM does not depend on the file that its caller named.
 */
export interface Content {
  /**
   * Called once, by the process that owns the state directory, before anything else. Removes what a killed
   * process left half made, and answers what became of it.
   */
  open(): Promise<Sweep>;
  /** Where a file of the store is, or would be. */
  path(digest: string): string;
  has(digest: string): Promise<boolean>;
  /**
   * Brings a file in; it is durable and was read whole in this boot of the host when the call resolves, and
   * stays at least until `release(digest)`. Rejects with the system's error, or with the signal's reason.
   */
  pin(path: string, call: ContentCall): Promise<PinnedContent>;
  /**
   * Keeps a file from being swept until `release`. May be called several times; each call wants its own
   * release.
   */
  hold(digest: string): void;
  release(digest: string): void;
  /**
   * What is wrong with a file of the store; undefined when its content is what it should be. It is read whole
   * on the first call of a boot of the host. A damaged file is removed, so that it can be brought in again.
   */
  problem(file: PinnedContent, call: ContentCall): Promise<string | undefined>;
  /** Removes what is neither in use nor held, but for the small files that were used last. */
  sweep(inUse: ReadonlySet<string>): Promise<void>;
}
