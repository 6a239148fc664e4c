import { Readable, Writable } from 'node:stream';
import type { KeepAlive } from '@microvm/runtime';

type OnDone = (error?: Error | null) => void;

interface LazyOptions {
  readonly highWaterMark?: number;
  readonly encoding?: BufferEncoding;
}

const DEFAULT_HIGH_WATER_MARK = 64 * 1024;

/** A stream whose source is made by a promise. It keeps Node's event loop alive until it is closed. */
export class LazyReadable extends Readable {
  readonly #open: () => Promise<Readable>;
  #source: Readable | undefined;
  #isWanted = false;

  constructor(open: () => Promise<Readable>, alive: KeepAlive, options: LazyOptions = {}) {
    const { highWaterMark = DEFAULT_HIGH_WATER_MARK, encoding } = options;
    super({ highWaterMark, ...(encoding === undefined ? {} : { encoding }) });
    this.#open = open;
    alive.hold();
    this.once('close', () => alive.release());
  }

  override _construct(onReady: OnDone): void {
    this.#open().then((source) => {
      this.#source = source;
      source.on('readable', () => this.#handOver());
      source.on('end', () => this.push(null));
      source.on('error', (error) => this.destroy(error));
      onReady();
    }, onReady);
  }

  override _read(): void {
    this.#isWanted = true;
    this.#handOver();
  }

  override _destroy(error: Error | null, onDestroyed: OnDone): void {
    this.#source?.destroy();
    onDestroyed(error);
  }

  #handOver(): void {
    while (this.#isWanted) {
      const chunk = this.#source?.read() as Buffer | string | null | undefined;
      if (chunk === null || chunk === undefined) return;
      this.#isWanted = this.push(chunk, this.readableEncoding ?? undefined);
    }
  }
}

/** The same for a stream that is written to. Its `finish` is that of its target. */
export class LazyWritable extends Writable {
  readonly #open: () => Promise<Writable>;
  #target: Writable | undefined;

  constructor(open: () => Promise<Writable>, alive: KeepAlive, options: LazyOptions = {}) {
    const { highWaterMark = DEFAULT_HIGH_WATER_MARK, encoding = 'utf8' } = options;
    super({ highWaterMark, defaultEncoding: encoding });
    this.#open = open;
    alive.hold();
    this.once('close', () => alive.release());
  }

  override _construct(onReady: OnDone): void {
    this.#open().then((target) => {
      this.#target = target;
      target.on('error', (error) => this.destroy(error));
      onReady();
    }, onReady);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, onWritten: OnDone): void {
    this.#target?.write(chunk, onWritten);
  }

  override _final(onFinished: OnDone): void {
    this.#target?.end(onFinished);
  }

  override _destroy(error: Error | null, onDestroyed: OnDone): void {
    this.#target?.destroy();
    onDestroyed(error);
  }
}
