import { DiskError } from '../fs/inode.js';
import { badDescriptor, OpenFile, Waiters, type ReadOptions } from './open-file.js';

/** As Linux has it. */
const CAPACITY_BYTES = 65_536;

class Pipe {
  readonly chunks: Buffer[] = [];
  readonly waiters = new Waiters();
  bytes = 0;
  hasReader = true;
  hasWriter = true;
}

class ReadEnd extends OpenFile {
  readonly #pipe: Pipe;

  constructor(pipe: Pipe) {
    super();
    this.#pipe = pipe;
  }

  async read({ max = CAPACITY_BYTES, signal }: ReadOptions): Promise<Buffer | undefined> {
    const pipe = this.#pipe;
    for (;;) {
      signal.throwIfAborted();
      const chunk = pipe.chunks.shift();
      if (chunk !== undefined) {
        if (chunk.length > max) pipe.chunks.unshift(chunk.subarray(max));
        const taken = chunk.subarray(0, max);
        pipe.bytes -= taken.length;
        pipe.waiters.wakeAll();
        return taken;
      }
      if (!pipe.hasWriter) return undefined;
      await pipe.waiters.wait(signal);
    }
  }

  async write(): Promise<void> {
    throw badDescriptor();
  }

  protected override close(): void {
    this.#pipe.hasReader = false;
    this.#pipe.chunks.length = 0;
    this.#pipe.waiters.wakeAll();
  }
}

class WriteEnd extends OpenFile {
  readonly #pipe: Pipe;

  constructor(pipe: Pipe) {
    super();
    this.#pipe = pipe;
  }

  async read(): Promise<undefined> {
    throw badDescriptor();
  }

  async write(data: Uint8Array, signal: AbortSignal): Promise<void> {
    const pipe = this.#pipe;
    let rest = Buffer.from(data);
    while (rest.length > 0) {
      signal.throwIfAborted();
      if (!pipe.hasReader) throw new DiskError('EPIPE', 'nobody reads the pipe');
      const room = CAPACITY_BYTES - pipe.bytes;
      if (room === 0) {
        await pipe.waiters.wait(signal);
        continue;
      }
      const piece = rest.subarray(0, room);
      rest = rest.subarray(room);
      pipe.chunks.push(piece);
      pipe.bytes += piece.length;
      pipe.waiters.wakeAll();
    }
  }

  protected override close(): void {
    this.#pipe.hasWriter = false;
    this.#pipe.waiters.wakeAll();
  }
}

/** A pipe of bounded capacity, as between two commands of a shell. */
export function createPipe(): readonly [reader: OpenFile, writer: OpenFile] {
  const pipe = new Pipe();
  return [new ReadEnd(pipe), new WriteEnd(pipe)];
}
