import type { ExecChunk, OutputOffsets } from '@microvm/runtime';
import { frameCost } from './flow-control.js';
import { HEADER_SIZE, MAX_PAYLOAD } from './protocol.js';

type OutputStream = ExecChunk['stream'];
type Waiter = {
  readonly resolve: (result: IteratorResult<ExecChunk>) => void;
  readonly reject: (error: unknown) => void;
};

/** A kept payload's stream and length; less than the header that it came with has cost. */
const RECORD_HEADER = 5;
/** The mark of a gap beside the number of its stream, and how long the record of one is. */
const GAP = 2;
const GAP_RECORD = 9;
const EMPTY = Buffer.alloc(0);

/**
 * Payloads one behind the other in one buffer: what waits takes no more memory than its frames have cost,
 * however small they are.
 */
class PayloadStore {
  #bytes = EMPTY;
  #from = 0;
  #to = 0;

  push(stream: OutputStream, data: Buffer): void {
    this.#makeRoom(RECORD_HEADER + data.length);
    this.#bytes.writeUInt8(stream === 'stdout' ? 0 : 1, this.#to);
    this.#bytes.writeUInt32LE(data.length, this.#to + 1);
    data.copy(this.#bytes, this.#to + RECORD_HEADER);
    this.#to += RECORD_HEADER + data.length;
  }

  /** Bytes of a stream that never came, behind what is kept of it. */
  pushGap(stream: OutputStream, bytes: number): void {
    this.#makeRoom(GAP_RECORD);
    this.#bytes.writeUInt8(GAP | (stream === 'stdout' ? 0 : 1), this.#to);
    this.#bytes.writeDoubleLE(bytes, this.#to + 1);
    this.#to += GAP_RECORD;
  }

  /**
   * The data that came first, with all data of the same stream that came right behind and fits one payload;
   * the cost of its frames; and how many bytes before it never came.
   */
  shift(): (Omit<ExecChunk, 'offset'> & { readonly cost: number }) | undefined {
    if (this.#from === this.#to) return undefined;
    const first = this.#bytes.readUInt8(this.#from);
    const kind = first & ~GAP;
    let missingBytes = 0;
    if (first !== kind) {
      missingBytes = this.#bytes.readDoubleLE(this.#from + 1);
      this.#from += GAP_RECORD;
    }
    const pieces: Buffer[] = [];
    let size = 0;
    while (this.#from < this.#to && this.#bytes.readUInt8(this.#from) === kind) {
      const length = this.#bytes.readUInt32LE(this.#from + 1);
      if (size > 0 && size + length > MAX_PAYLOAD) break;
      const start = this.#from + RECORD_HEADER;
      pieces.push(this.#bytes.subarray(start, start + length));
      size += length;
      this.#from = start + length;
    }
    // Memory outside of Node's pool: a reader that keeps a few bytes must not keep the bytes of others alive.
    const data = Buffer.allocUnsafeSlow(size);
    let at = 0;
    for (const piece of pieces) at += piece.copy(data, at);
    if (this.#from === this.#to) this.clear();
    const cost = size + pieces.length * HEADER_SIZE;
    return { stream: kind === 0 ? 'stdout' : 'stderr', data, missingBytes, cost };
  }

  get isEmpty(): boolean {
    return this.#from === this.#to;
  }

  clear(): void {
    this.#bytes = EMPTY;
    this.#from = this.#to = 0;
  }

  #makeRoom(size: number): void {
    if (this.#bytes.length - this.#to >= size) return;
    const used = this.#to - this.#from;
    const target =
      this.#bytes.length >= 2 * (used + size) ? this.#bytes : Buffer.allocUnsafeSlow(2 * (used + size));
    this.#bytes.copy(target, 0, this.#from, this.#to);
    this.#bytes = target;
    this.#from = 0;
    this.#to = used;
  }
}

/** Output that waits for its reader, in the order in which it came. The windows of the protocol bound it. */
export class OutputQueue implements AsyncIterator<ExecChunk> {
  readonly #onTaken: (stream: OutputStream, cost: number) => void;
  readonly #store = new PayloadStore();
  readonly #offsets: { stdout: number; stderr: number };
  #waiters: Waiter[] = [];
  #end: { readonly error?: unknown } | undefined;
  #isDiscarding = false;

  /**
   * `onTaken` learns what frames had cost that a reader has taken. `begin` is where the outputs begin for
   * this reader.
   */
  constructor(
    onTaken: (stream: OutputStream, cost: number) => void,
    begin: OutputOffsets = { stdout: 0, stderr: 0 },
  ) {
    this.#onTaken = onTaken;
    this.#offsets = { ...begin };
  }

  /** The first byte of each output that the reader has not taken. */
  get offsets(): OutputOffsets {
    return { ...this.#offsets };
  }

  /** Nothing waits. */
  get isEmpty(): boolean {
    return this.#store.isEmpty;
  }

  /** Bytes of an output will never come. */
  skip(stream: OutputStream, bytes: number): void {
    if (this.#isDiscarding) {
      this.#offsets[stream] += bytes;
      return;
    }
    this.#store.pushGap(stream, bytes);
    this.#serve();
  }

  /** Copies the data. */
  push(stream: OutputStream, data: Buffer): void {
    if (this.#isDiscarding) {
      this.#offsets[stream] += data.length;
      this.#onTaken(stream, frameCost(data.length));
      return;
    }
    this.#store.push(stream, data);
    this.#serve();
  }

  /**
   * No more comes. With `isUrgent` what waits is thrown away, so that the reader learns of the error at once.
   */
  end(error?: unknown, isUrgent = false): void {
    if (this.#end !== undefined) return;
    this.#end = error === undefined ? {} : { error };
    if (isUrgent) this.#store.clear();
    this.#serve();
  }

  /** The next chunk that waits, for a reader that does not wait itself. */
  take(): ExecChunk | undefined {
    const first = this.#store.shift();
    if (first === undefined) return undefined;
    const { cost, ...chunk } = first;
    const offset = this.#offsets[chunk.stream] + chunk.missingBytes;
    this.#offsets[chunk.stream] = offset + chunk.data.length;
    if (cost > 0) this.#onTaken(chunk.stream, cost);
    return { ...chunk, offset };
  }

  next(): Promise<IteratorResult<ExecChunk>> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#serve();
    });
  }

  /** The reader left its loop: the command goes on, and the rest of its output is thrown away. */
  return(): Promise<IteratorResult<ExecChunk>> {
    this.#isDiscarding = true;
    while (this.take() !== undefined);
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  #serve(): void {
    while (this.#waiters.length > 0) {
      const chunk = this.take();
      if (chunk !== undefined) {
        this.#waiters.shift()?.resolve({ done: false, value: chunk });
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

/** The whole of one output. */
export class OutputCollector {
  readonly #limit: number;
  #bytes = EMPTY;
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Copies the data, as much of it as fits; false: it does not fit below the limit. */
  add(data: Buffer): boolean {
    const size = Math.min(this.#limit, this.#size + data.length);
    const fits = size === this.#size + data.length;
    if (size > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.min(this.#limit, Math.max(size, this.#bytes.length * 2, 1024)),
      );
      this.#bytes.copy(grown, 0, 0, this.#size);
      this.#bytes = grown;
    }
    data.copy(this.#bytes, this.#size, 0, size - this.#size);
    this.#size = size;
    return fits;
  }

  result(): Buffer {
    return this.#bytes.subarray(0, this.#size);
  }
}
