import { Readable, Writable } from 'node:stream';
import { invalidArgument } from '@microvm/runtime';
import type { FileReadStreamOptions, FileWriteStreamOptions, GuestPath } from '@microvm/runtime';
import { OutputQueue } from '../output-queue.js';
import { PayloadWriter } from '../payload.js';
import { ask, decodeNothing } from './ask.js';
import {
  checkEncoding,
  checkFlags,
  checkLengths,
  checkMode,
  checkOptions,
  checkPath,
  checkSize,
} from './file-arguments.js';
import { fileMessage } from './file-message.js';
import { FileOp, NO_POSITION } from './file-protocol.js';
import type { FileWorker } from './file-worker.js';
import type { WorkerPool } from './worker-pool.js';
import { sendContent, writeRequest } from './write-content.js';

const DEFAULT_HIGH_WATER_MARK = 64 * 1024;
const DEFAULT_FILE_MODE = 0o666;
const NO_END = 0xffff_ffff_ffff_ffffn;

/** An abort that ends a worker for a stream that was destroyed. */
const DESTROYED = new Error('the stream was destroyed');

/** A file of the guest as a stream. Its reader's pace is the guest's. */
export class FileReadStream extends Readable {
  readonly #abort = new AbortController();
  readonly #received = new OutputQueue(() => undefined);
  #worker: FileWorker | undefined;
  #isWanted = false;
  #isWhole = false;

  /** Throws `MICROVM_INVALID_ARGUMENT`. */
  constructor(pool: WorkerPool, path: GuestPath, options: FileReadStreamOptions) {
    const { encoding, start, end, highWaterMark = DEFAULT_HIGH_WATER_MARK } = options;
    super({ highWaterMark: checkSize('highWaterMark', highWaterMark) });
    if (encoding !== undefined) this.setEncoding(checkEncoding(encoding));
    if (start !== undefined) checkSize('start', start);
    if (end !== undefined) checkSize('end', end);
    if (end !== undefined && end < (start ?? 0)) throw invalidArgument('end', 'not before start');
    const checked = checkPath('path', path);
    const { user, signal, timeoutMs } = checkOptions(options);
    const most = end === undefined ? NO_END : BigInt(end - (start ?? 0) + 1);
    const body = new PayloadWriter()
      .u32(0)
      .u64(start === undefined ? NO_POSITION : BigInt(start))
      .u64(most);
    const message = fileMessage(FileOp.readFile, body.blob(checked.bytes));
    const limits = { user, timeoutMs, signal: eitherSignal(this.#abort.signal, signal) };
    const reading = async (): Promise<void> => {
      const paths = checkLengths('open', [checked]);
      await pool.run({
        ...{ operation: 'createReadStream', use: 'stream', options: limits },
        run: (worker) => this.#read(worker, message, paths),
      });
    };
    reading().then(
      () => this.#onWhole(),
      (error: unknown) => this.destroy(error as Error),
    );
  }

  override _read(): void {
    this.#isWanted = true;
    this.#handOver();
  }

  override _destroy(error: Error | null, onDestroyed: (error?: Error | null) => void): void {
    this.#abort.abort(DESTROYED);
    onDestroyed(error);
  }

  #read(worker: FileWorker, message: Buffer, paths: ReturnType<typeof checkLengths>): Promise<void> {
    this.#worker = worker;
    const onContent = (data: Buffer): boolean => {
      if (this.destroyed) return false;
      this.#received.push('stdout', data);
      this.#handOver();
      return true;
    };
    return ask(worker, { message, paths, decode: decodeNothing, onContent });
  }

  #onWhole(): void {
    this.#isWhole = true;
    this.#handOver();
  }

  #handOver(): void {
    while (this.#isWanted && !this.destroyed) {
      const chunk = this.#received.take();
      if (chunk === undefined) break;
      this.#worker?.taken(chunk.data.length);
      this.#isWanted = this.push(chunk.data);
    }
    if (this.#isWanted && this.#isWhole && !this.destroyed && !this.readableEnded) this.push(null);
  }
}

/** A stream into a file of the guest. */
export class FileWriteStream extends Writable {
  readonly #abort = new AbortController();
  readonly #written: Promise<void>;
  readonly #worker: Promise<FileWorker>;

  /** Throws `MICROVM_INVALID_ARGUMENT`. */
  constructor(pool: WorkerPool, path: GuestPath, options: FileWriteStreamOptions) {
    const { encoding = 'utf8', highWaterMark = DEFAULT_HIGH_WATER_MARK, start } = options;
    const { flag = 'w', flags = flag, mode = DEFAULT_FILE_MODE, atomic = false, flush = false } = options;
    super({
      highWaterMark: checkSize('highWaterMark', highWaterMark),
      defaultEncoding: checkEncoding(encoding),
    });
    if (atomic && (flags !== 'w' || start !== undefined))
      throw invalidArgument('atomic', 'a write of the whole file, with the flag "w"');
    if (start !== undefined) checkSize('start', start);
    const checked = checkPath('path', path);
    const message = writeRequest({
      ...{ flags: checkFlags('flags', flags), mode: checkMode(mode), path: checked.bytes, start },
      ...{ isAtomic: atomic, isFlushed: flush },
    });
    const { user, signal, timeoutMs } = checkOptions(options);
    const limits = { user, timeoutMs, signal: eitherSignal(this.#abort.signal, signal) };
    let onWorker: (worker: FileWorker) => void = () => undefined;
    this.#worker = new Promise((resolve) => (onWorker = resolve));
    const writing = async (): Promise<void> => {
      const paths = checkLengths('open', [checked]);
      const run = (worker: FileWorker): Promise<void> => {
        const answer = ask(worker, { message, paths, decode: decodeNothing });
        onWorker(worker);
        return answer;
      };
      await pool.run({ operation: 'createWriteStream', use: 'stream', options: limits, run });
    };
    this.#written = writing();
    this.#written.catch((error: unknown) => this.destroy(error as Error));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, onWritten: (error?: Error | null) => void): void {
    void this.#worker.then((worker) => sendContent(worker, chunk)).then(() => onWritten());
  }

  override _final(onFinished: (error?: Error | null) => void): void {
    void this.#worker.then((worker) => worker.send(fileMessage(FileOp.commit)));
    this.#written.then(
      () => onFinished(),
      (error: unknown) => onFinished(error as Error),
    );
  }

  override _destroy(error: Error | null, onDestroyed: (error?: Error | null) => void): void {
    this.#abort.abort(DESTROYED);
    onDestroyed(error);
  }
}

function eitherSignal(own: AbortSignal, other: AbortSignal | undefined): AbortSignal {
  return other === undefined ? own : AbortSignal.any([own, other]);
}
