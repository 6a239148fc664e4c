import { fileProtocol, PayloadWriter } from '@microvm/guest';
import { basenameOf, type FileSystem } from '../fs/file-system.js';
import type { TreeEvent } from '../fs/file-tree.js';
import { DiskError, type Inode } from '../fs/inode.js';
import { bytesOfPath } from './guest-name.js';
import type { Send } from './path-requests.js';

const MOST_WATCHES = 1_024;
/** Events that the host has not taken. */
const MOST_WAITING = 1_024;
const Change = { ready: 0, name: 1, content: 2, lagged: 3 } as const;

interface WatchParts {
  readonly files: FileSystem;
  readonly path: string;
  readonly isRecursive: boolean;
  readonly send: Send;
}

/** Tells of changes to a file or a folder, as inotify does, until it is stopped. */
export class Watch {
  readonly #parts: WatchParts;
  readonly #root: Inode;
  readonly #waiting: Buffer[] = [];
  #sending: Promise<void>;
  #hasLagged = false;
  #isStopped = false;

  /** Throws a `DiskError`, also `ENOSPC` for more folders than can be watched. */
  constructor(parts: WatchParts) {
    this.#parts = parts;
    this.#root = parts.files.stat(parts.path);
    if (!parts.files.mayRead(this.#root)) throw new DiskError('EACCES', parts.path);
    if (parts.isRecursive && countFolders(this.#root) > MOST_WATCHES)
      throw new DiskError('ENOSPC', parts.path);
    parts.files.tree.watchers.add(this.#onEvent);
    this.#tell(Change.ready, '');
    this.#sending = this.#sendAll();
  }

  /** Resolves when all that was seen is told. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#parts.files.tree.watchers.delete(this.#onEvent);
    await this.#sending;
  }

  readonly #onEvent = (event: TreeEvent): void => {
    const name = this.#nameOf(event);
    if (name === undefined) return;
    if (this.#waiting.length < MOST_WAITING) {
      this.#hasLagged = false;
      this.#tell(event.kind === 'name' ? Change.name : Change.content, name);
    } else if (!this.#hasLagged) {
      this.#hasLagged = true;
      this.#tell(Change.lagged, '');
    }
    this.#sending = this.#sending.then(() => this.#sendAll());
  };

  /** From the folder that is watched; undefined: it is not of this watch. */
  #nameOf({ folder, name, inode }: TreeEvent): string | undefined {
    if (inode === this.#root) return basenameOf(this.#parts.path);
    if (folder === this.#root) return name;
    if (!this.#parts.isRecursive) return undefined;
    let path = name;
    for (let above = folder; above !== above.parent; above = above.parent) {
      if (above === this.#root) return path;
      const [own] = [...above.parent.entries].find(([, entry]) => entry === above) ?? [];
      if (own === undefined) return undefined; // the folder itself is gone
      path = `${own}/${path}`;
    }
    return this.#root.parent === this.#root ? path : undefined;
  }

  #tell(change: number, name: string): void {
    this.#waiting.push(new PayloadWriter().u8(change).blob(bytesOfPath(name)).done());
  }

  async #sendAll(): Promise<void> {
    for (let event = this.#waiting.shift(); event !== undefined; event = this.#waiting.shift()) {
      await this.#parts.send(fileProtocol.FileAnswer.event, event);
      if (this.#isStopped && this.#waiting.length === 0) return;
    }
  }
}

function countFolders(inode: Inode): number {
  let count = 1;
  for (const entry of inode.entries.values()) if (entry.kind === 'directory') count += countFolders(entry);
  return count;
}
