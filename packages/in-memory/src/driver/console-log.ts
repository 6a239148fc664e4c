import { type ConsoleOptions, onAbort } from '@microvm/runtime';

const MERGED_BYTES = 4096;

/**
 * A VM's serial output, in bounded space: the oldest output goes first. A reader keeps only its place, so a
 * slow reader costs no memory, and does not see output that was dropped meanwhile.
 */
export class ConsoleLog {
  readonly #limitBytes: number;
  #chunks: Buffer[] = [];
  /** Offsets of the first kept byte and behind the last one, since the VM was made. */
  #start = 0;
  #end = 0;
  #isClosed = false;
  #readers: Set<() => void> | undefined;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Offset of the oldest byte that is kept. */
  get startOffset(): number {
    return this.#start;
  }

  /** Bytes written since the VM was made, dropped ones included. */
  get endOffset(): number {
    return this.#end;
  }

  append(data: string | Uint8Array): void {
    const chunk = Buffer.from(data);
    if (chunk.length === 0) return;
    const last = this.#chunks.at(-1);
    // Many small writes must not become as many small buffers.
    if (last !== undefined && last.length + chunk.length <= MERGED_BYTES) {
      this.#chunks[this.#chunks.length - 1] = Buffer.concat([last, chunk]);
    } else {
      this.#chunks.push(chunk);
    }
    this.#end += chunk.length;
    this.#trim();
    this.#wake();
  }

  /** No more output will come: readers that follow end. */
  close(): void {
    this.#isClosed = true;
    this.#wake();
  }

  /** Everything that is kept, from an offset on. */
  from(offset: number): Buffer {
    const all = Buffer.concat(this.#chunks);
    return all.subarray(Math.max(0, offset - this.#start));
  }

  lastLines(count: number): readonly string[] {
    return this.from(0)
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
      .slice(-count);
  }

  async *read(options: ConsoleOptions = {}): AsyncGenerator<Buffer, void, undefined> {
    const { signal } = options;
    let offset = Math.max(this.#start, this.#end - (options.tailBytes ?? Infinity));
    while (signal?.aborted !== true) {
      if (offset < this.#end) {
        const data = this.from(offset);
        offset = this.#end;
        yield data;
      } else if (options.follow !== true || this.#isClosed) {
        return;
      } else {
        await this.#more(signal);
      }
    }
  }

  #trim(): void {
    let excess = this.#end - this.#start - this.#limitBytes;
    while (excess > 0) {
      const first = this.#chunks[0];
      if (first === undefined) return;
      const dropped = Math.min(excess, first.length);
      if (dropped === first.length) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(dropped);
      this.#start += dropped;
      excess -= dropped;
    }
  }

  #more(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const readers = (this.#readers ??= new Set());
      let stopWatching = (): void => undefined;
      const wake = (): void => {
        readers.delete(wake);
        stopWatching();
        resolve();
      };
      readers.add(wake);
      stopWatching = onAbort(signal, wake);
    });
  }

  #wake(): void {
    for (const wake of [...(this.#readers ?? [])]) wake();
  }
}
