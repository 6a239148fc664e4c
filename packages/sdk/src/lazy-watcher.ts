import type { FileChange, FileWatcher, KeepAlive } from '@microvm/runtime';

/** A watcher whose guest is looked up by a promise. It keeps Node's event loop alive while it is awaited. */
export class LazyWatcher implements FileWatcher {
  readonly ready: Promise<void>;
  readonly #source: Promise<FileWatcher>;
  readonly #alive: KeepAlive;

  constructor(open: () => Promise<FileWatcher>, alive: KeepAlive) {
    this.#alive = alive;
    this.#source = open();
    this.ready = alive.during(this.#source.then((source) => source.ready));
    this.ready.catch(() => undefined); // Who iterates learns of it.
  }

  async next(): Promise<IteratorResult<FileChange, undefined>> {
    return this.#alive.during(this.#source.then((source) => source.next()));
  }

  async return(): Promise<IteratorResult<FileChange, undefined>> {
    return (await this.#source).return();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
