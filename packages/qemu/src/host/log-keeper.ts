import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, rename, rm, stat, truncate } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { watchFolder } from './file-events.js';
import { FILES, pathOf } from './paths.js';
import { ignoreMissing } from './system-error.js';

export interface LogKeeperOptions {
  readonly directory: string;
  readonly consoleLimitBytes: number;
  /** Makes the VMM write its console to a new file of the same name, from the next byte on. */
  readonly reopenConsole: () => Promise<void>;
}

const VMM_LOG_LIMIT_BYTES = 256 * 1024;

/**
 * Keeps a VM's logs within their bounds while it has an owner: woken by writes, never by a clock. Each log has two files of half
 * its bound: when the newer one is full the older is dropped. The console's is handed over without a byte lost, by the VMM
 * itself; its own log, which nobody but the VMM's errors fill, is copied and emptied.
 */
export class LogKeeper {
  readonly #options: LogKeeperOptions;
  readonly #unwatch: () => void;
  #isBusy = false;
  #isDue = true;
  #isClosed = false;

  constructor(options: LogKeeperOptions) {
    this.#options = options;
    this.#unwatch = watchFolder(options.directory, (name, event) => {
      // Not for a rename: it is our own.
      if (event === 'change' && (name === FILES.console || name === FILES.vmmLog)) this.#check();
    });
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
      // A cut that fails (the VMM ended, the disk is full) is tried again at the next write.
      await this.#cutConsole().catch(() => undefined);
      await this.#cutVmmLog().catch(() => undefined);
    }
  }

  async #cutConsole(): Promise<void> {
    const { directory, consoleLimitBytes, reopenConsole } = this.#options;
    const [now, old] = [pathOf(directory, 'console'), pathOf(directory, 'consoleOld')];
    if ((await sizeOf(now)) < consoleLimitBytes / 2) return;
    await rename(now, old);
    try {
      await reopenConsole();
    } catch (error) {
      await rename(old, now);
      throw error;
    }
    await keepEnd(old, pathOf(directory, 'consolePartial'), Math.floor(consoleLimitBytes / 2));
  }

  async #cutVmmLog(): Promise<void> {
    const { directory } = this.#options;
    const path = pathOf(directory, 'vmmLog');
    if ((await sizeOf(path)) < VMM_LOG_LIMIT_BYTES / 2) return;
    await rm(pathOf(directory, 'vmmLogOld'), { force: true });
    await copyFile(path, pathOf(directory, 'vmmLogOld'));
    // Opened for append: what is written next is at the new end.
    await truncate(path, 0);
  }
}

/** Drops what a fast writer wrote beyond the bound before its file was changed. Readers hold the whole one. */
async function keepEnd(path: string, partial: string, bytes: number): Promise<void> {
  const start = (await sizeOf(path)) - bytes;
  if (start <= 0) return;
  await pipeline(createReadStream(path, { start }), createWriteStream(partial, { mode: 0o600 }));
  await rename(partial, path);
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(ignoreMissing))?.size ?? 0;
}
