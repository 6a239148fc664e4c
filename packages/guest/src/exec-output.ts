import type { ExecChunk } from '@microvm/runtime';

type Waiter = {
  readonly resolve: (result: IteratorResult<ExecChunk>) => void;
  readonly reject: (error: unknown) => void;
};

/** Output that waits for its reader, in the order in which it came. The windows of the protocol bound it. */
export class OutputQueue implements AsyncIterator<ExecChunk> {
  readonly #onTaken: (chunk: ExecChunk) => void;
  #chunks: ExecChunk[] = [];
  #waiters: Waiter[] = [];
  #end: { readonly error?: unknown } | undefined;
  #isDiscarding = false;

  constructor(onTaken: (chunk: ExecChunk) => void) {
    this.#onTaken = onTaken;
  }

  push(chunk: ExecChunk): void {
    if (this.#isDiscarding) {
      this.#onTaken(chunk);
      return;
    }
    this.#chunks.push(chunk);
    this.#serve();
  }

  /** No more comes. With `isUrgent` what waits is thrown away, so that the reader learns of the error at once. */
  end(error?: unknown, isUrgent = false): void {
    if (this.#end !== undefined) return;
    this.#end = error === undefined ? {} : { error };
    if (isUrgent) this.#chunks = [];
    this.#serve();
  }

  next(): Promise<IteratorResult<ExecChunk>> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#serve();
    });
  }

  /** The reader left its loop: the command goes on, and the rest of its output is thrown away. */
  return(): Promise<IteratorResult<ExecChunk>> {
    this.discard();
    return Promise.resolve({ done: true, value: undefined });
  }

  discard(): void {
    this.#isDiscarding = true;
    for (const chunk of this.#chunks.splice(0)) this.#onTaken(chunk);
    this.end();
  }

  #serve(): void {
    while (this.#waiters.length > 0) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#waiters.shift()?.resolve({ done: false, value: chunk });
        this.#onTaken(chunk);
        continue;
      }
      if (this.#end === undefined) return;
      const waiter = this.#waiters.shift();
      if (this.#end.error === undefined) {
        waiter?.resolve({ done: true, value: undefined });
      } else {
        // Told once, as a stream does: whoever reads on finds the end.
        const { error } = this.#end;
        this.#end = {};
        waiter?.reject(error);
      }
    }
  }
}

/** The whole of one output, copied: a flood of tiny chunks must not cost more than its bytes. */
export class OutputCollector {
  readonly #limit: number;
  #bytes = Buffer.alloc(0);
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** False: it does not fit below the limit. */
  add(data: Buffer): boolean {
    const size = this.#size + data.length;
    if (size > this.#limit) return false;
    if (size > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.min(this.#limit, Math.max(size, this.#bytes.length * 2, 1024)),
      );
      this.#bytes.copy(grown, 0, 0, this.#size);
      this.#bytes = grown;
    }
    data.copy(this.#bytes, this.#size);
    this.#size = size;
    return true;
  }

  result(): Buffer {
    return this.#bytes.subarray(0, this.#size);
  }
}
