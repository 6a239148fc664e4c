import { absolute, object } from './calls.js';
import { loadAddon } from './load.js';

/** What a tree may be that is written. */
export interface TreeFeedOptions {
  /** Owners, and the mode bits that run a program as somebody else. Default: false. */
  readonly owners?: boolean;
  /** Devices and FIFOs. Default: false, and they are counted as skipped. */
  readonly devices?: boolean;
  readonly maxEntries: number;
  /** Of content. */
  readonly maxBytes: number;
}

export interface TreeState {
  readonly entries: number;
  /** Of content. */
  readonly bytes: number;
  /** Devices and FIFOs that were left out. */
  readonly skipped: number;
  /** The tree is whole. */
  readonly ended: boolean;
}

/**
 * Writes a tree that comes as messages of a party which may be hostile (docs/guest-protocol.md, "Trees").
 * Nothing is written outside of the target, and no link is followed but the target itself.
 */
export class TreeFeed {
  readonly #id: number;

  /** @throws TypeError */
  constructor(target: string, options: TreeFeedOptions) {
    this.#id = loadAddon().openTreeFeed(absolute(target, 'target'), object(options, 'options'));
  }

  /**
   * Takes the next bytes, which need not end with a message, and writes what they say. One call at a time.
   *
   * @throws SystemError (as rejection): the system's own; `EPROTO` for a message that breaks the protocol;
   * `EOVERFLOW` with the syscall `entries`, `bytes` or `link` for more than was allowed.
   */
  feed(bytes: Uint8Array): Promise<TreeState> {
    return loadAddon().feedTree(this.#id, bytes);
  }

  /** Nothing more comes; what was written stays. Idempotent. */
  close(): void {
    loadAddon().closeTree(this.#id);
  }
}

/** The messages of a tree of this host, which the path names; no link in it is followed. */
export class TreeSource {
  readonly #id: number;

  /**
   * `hardLinks` false: each name of a file is a file of its own. Default: true.
   *
   * @throws TypeError
   */
  constructor(path: string, options: { readonly hardLinks?: boolean } = {}) {
    this.#id = loadAddon().openTreeSource(absolute(path, 'path'), object(options, 'options'));
  }

  /**
   * The next messages, some 256 KiB of them; undefined at the end. One call at a time.
   *
   * @throws SystemError (as rejection): what cannot be read.
   */
  async read(): Promise<Buffer | undefined> {
    return (await loadAddon().readTree(this.#id)) ?? undefined;
  }

  /** Idempotent. */
  close(): void {
    loadAddon().closeTree(this.#id);
  }
}
