import { onAbort } from '@microvm/runtime';
import { DiskError } from '../fs/inode.js';

export interface ReadOptions {
  /** At most so many bytes. */
  readonly max?: number;
  /** Rejects with the signal's reason; nothing is lost for the next reader. */
  readonly signal: AbortSignal;
}

/**
 * What a descriptor of a process leads to. Descriptors of several processes may share one: it is closed with
 * the last of them.
 */
export abstract class OpenFile {
  #users = 1;

  /** The next bytes; undefined at the end. */
  abstract read(options: ReadOptions): Promise<Buffer | undefined>;

  /** Resolves when there is room for more. Throws a `DiskError`: `EPIPE`, `EBADF`, `ENOSPC`. */
  abstract write(data: Uint8Array, signal: AbortSignal): Promise<void>;

  /** One more descriptor leads to it. */
  retain(): this {
    this.#users += 1;
    return this;
  }

  /** One descriptor less leads to it. */
  release(): void {
    this.#users -= 1;
    if (this.#users === 0) this.close();
  }

  /** Nobody has it any more. */
  protected close(): void {
    return;
  }
}

/** Waiting processes, all of which look again when one thing happens. */
export class Waiters {
  readonly #wake = new Set<() => void>();

  /** Rejects with the signal's reason. */
  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const wake = (): void => {
        this.#wake.delete(wake);
        stop();
        resolve();
      };
      const stop = onAbort(signal, () => {
        this.#wake.delete(wake);
        reject(signal.reason as Error);
      });
      if (!signal.aborted) this.#wake.add(wake);
    });
  }

  wakeAll(): void {
    for (const wake of [...this.#wake]) wake();
  }
}

export function badDescriptor(): DiskError {
  return new DiskError('EBADF', 'the descriptor is not open for this');
}
