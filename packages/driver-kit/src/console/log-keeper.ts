import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { discardFront } from '@microvm/native';
import { watchFolder, type FileEvent } from '../host/file-events.js';

/** A log that only grows, and what it may take of the disk. */
export interface KeptLog {
  /** Its name in the folder. */
  readonly file: string;
  /** Its last bytes that are kept; what is before them goes, in whole blocks. */
  readonly limitBytes: number;
  /** It is written by another name, in a folder elsewhere: this folder hears nothing of that. It is watched itself, so it must be there. */
  readonly isLinked?: boolean;
  /** Called before its front goes. When it rejects nothing goes, until the next write. */
  readonly beforeDiscard?: () => Promise<void>;
}

/**
 * Keeps a VM's logs within their bounds while it has an owner: woken by writes, never by a clock. The VMM holds a log open and cannot be
 * told to change over, so its beginning is given back to the file system instead: the file's size and the offsets in it stay.
 */
export class LogKeeper {
  readonly #directory: string;
  readonly #logs: readonly KeptLog[];
  readonly #unwatch: readonly (() => void)[];
  #isBusy = false;
  #isDue = true;
  #isClosed = false;

  constructor(directory: string, logs: readonly KeptLog[]) {
    this.#directory = directory;
    this.#logs = logs;
    const onEvent = (name: string | null, event: FileEvent): void => {
      if (event === 'change' && logs.some(({ file }) => file === name)) this.#check();
    };
    const linked = logs.filter(
      ({ file, isLinked }) => isLinked === true && existsSync(join(directory, file)),
    );
    const watched = [directory, ...linked.map(({ file }) => join(directory, file))];
    this.#unwatch = watched.map((path) => watchFolder(path, onEvent));
    this.#check();
  }

  /** Looks no more; a look that is under way ends. */
  close(): void {
    this.#isClosed = true;
    for (const unwatch of this.#unwatch) unwatch();
  }

  #check(): void {
    this.#isDue = true;
    if (this.#isBusy || this.#isClosed) return;
    this.#isBusy = true;
    void this.#work().finally(() => (this.#isBusy = false));
  }

  async #discard({ file, limitBytes, beforeDiscard }: KeptLog): Promise<void> {
    const path = join(this.#directory, file);
    // A VMM writes a line for each request: nearly every look finds a log that is short still, and must cost next to nothing.
    // From half of the bound on there is time to get ready.
    if (sizeOf(path) <= limitBytes / 2) return;
    await beforeDiscard?.();
    await discardFront(path, limitBytes);
  }

  async #work(): Promise<void> {
    while (this.#isDue && !this.#isClosed) {
      this.#isDue = false;
      for (const log of this.#logs) {
        // There may be none yet, and what fails (the file system has no holes) is tried again at the next write.
        await this.#discard(log).catch(() => undefined);
      }
    }
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
