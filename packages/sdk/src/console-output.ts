import type { KeepAlive } from '@microvm/runtime';

/**
 * A VM's serial console as text. Await it for all there is, or iterate it for pieces as they come. With
 * `follow` it ends when the VM is destroyed or the signal aborts.
 */
export class ConsoleOutput implements PromiseLike<string>, AsyncIterable<string> {
  readonly #bytes: () => AsyncIterable<Buffer>;
  readonly #alive: KeepAlive;

  constructor(bytes: () => AsyncIterable<Buffer>, alive: KeepAlive) {
    this.#bytes = bytes;
    this.#alive = alive;
  }

  then<A = string, B = never>(
    onFulfilled?: ((text: string) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#all().then(onFulfilled, onRejected);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    const decoder = new TextDecoder();
    this.#alive.hold();
    try {
      for await (const bytes of this.#bytes()) {
        const text = decoder.decode(bytes, { stream: true });
        if (text !== '') yield text;
      }
      const rest = decoder.decode();
      if (rest !== '') yield rest;
    } finally {
      this.#alive.release();
    }
  }

  async #all(): Promise<string> {
    let text = '';
    for await (const piece of this) text += piece;
    return text;
  }
}
