import { watchFolder } from '../host/file-events.js';

/** A log that is cut when it has grown. */
export interface KeptLog {
  /** Its name in the folder. */
  readonly file: string;
  /** Cuts it where that is due: `cutConsole`, `cutVmmLog`. What it rejects with is tried again at the next write. */
  readonly cut: () => Promise<void>;
}

/** Keeps a VM's logs within their bounds while it has an owner: woken by writes, never by a clock. */
export class LogKeeper {
  readonly #logs: readonly KeptLog[];
  readonly #unwatch: () => void;
  #isBusy = false;
  #isDue = true;
  #isClosed = false;

  constructor(directory: string, logs: readonly KeptLog[]) {
    this.#logs = logs;
    this.#unwatch = watchFolder(directory, (name, event) => {
      // Not for a rename: it is our own.
      if (event === 'change' && logs.some(({ file }) => file === name)) this.#check();
    });
    this.#check();
  }

  /** Looks no more; a cut that is under way ends. */
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
      // A cut that fails (the VMM ended, the disk is full) is tried again at the next write.
      for (const { cut } of this.#logs) await cut().catch(() => undefined);
    }
  }
}
