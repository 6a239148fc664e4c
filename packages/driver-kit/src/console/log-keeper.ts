import { statSync } from 'node:fs';
import { join } from 'node:path';
import { discardFront } from '@microvm/native';
import { watchFile } from '../host/file-events.js';

/** A log that only grows, and what it may take of the disk. */
export interface KeptLog {
  /** Its name in the folder. */
  readonly file: string;
  /** Its last bytes that are kept; what is before them goes, in whole blocks. */
  readonly limitBytes: number;
  /** Called before its front goes. When it rejects nothing goes, until the next write. */
  readonly beforeDiscard?: () => Promise<void>;
}

/**
 * Keeps a VM's logs within their bounds while it has an owner: woken by writes, by whatever name they come,
 * and never by a clock. The VMM holds a log open and cannot be told to change over, so its beginning is given
 * back to the file system instead: the file's size and the offsets in it stay.
 */
export class LogKeeper {
  readonly #files: readonly BoundedFile[];

  /** A missing log is none of this life. */
  constructor(directory: string, logs: readonly KeptLog[]) {
    this.#files = logs
      .map((log) => ({ log, path: join(directory, log.file) }))
      .filter(({ path }) => sizeOf(path) !== undefined)
      .map(({ log, path }) => new BoundedFile(path, log));
  }

  /** Looks no more; a look that is under way ends. */
  close(): void {
    for (const file of this.#files) file.close();
  }
}

class BoundedFile {
  readonly #path: string;
  readonly #log: KeptLog;
  readonly #unwatch: () => void;
  #isBusy = false;
  #isDue = true;
  #isClosed = false;

  constructor(path: string, log: KeptLog) {
    this.#path = path;
    this.#log = log;
    this.#unwatch = watchFile(path, () => this.#check());
    this.#check();
  }

  close(): void {
    this.#isClosed = true;
    this.#unwatch();
  }

  #check(): void {
    this.#isDue = true;
    if (this.#isBusy || this.#isClosed) return;
    this.#isBusy = true;
    void this.#work().finally(() => (this.#isBusy = false));
  }

  async #work(): Promise<void> {
    while (this.#isDue && !this.#isClosed) {
      this.#isDue = false;
      // A failure, as on a file system without holes, is tried again at the next write.
      await this.#discard().catch(() => undefined);
    }
  }

  async #discard(): Promise<void> {
    const { limitBytes, beforeDiscard } = this.#log;
    // A VMM writes a line for each request: nearly every look finds a log that is short still, and must cost
    // next to nothing. From half of the bound on there is time to get ready.
    if ((sizeOf(this.#path) ?? 0) <= limitBytes / 2) return;
    await beforeDiscard?.();
    await discardFront(this.#path, limitBytes);
  }
}

/** Undefined where there is none. */
function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}
