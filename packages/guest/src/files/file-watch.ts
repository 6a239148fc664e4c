import type { FileChange, FileWatcher, GuestPath, WatchOptions } from '@microvm/runtime';
import { PayloadReader, PayloadWriter } from '../payload.js';
import { ProtocolError } from '../protocol.js';
import { ask, decodeNothing } from './ask.js';
import { checkEncoding, checkLengths, checkOptions, checkPath } from './file-arguments.js';
import { fileMessage } from './file-message.js';
import { FILE_MESSAGE_HEAD, FileOp, MAX_FILE_PATH_BYTES } from './file-protocol.js';
import type { FileWorker } from './file-worker.js';
import type { WorkerPool } from './worker-pool.js';

const KINDS = ['ready', 'rename', 'change', 'lagged'] as const;

type Result = IteratorResult<FileChange<string | Buffer>, undefined>;

interface Waiter {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

interface Told {
  readonly change: FileChange<string | Buffer>;
  /** What it has cost of the worker's credit. */
  readonly cost: number;
}

const CLOSED = new Error('the watch was closed');

/**
 * Changes of the guest's files. What nobody has taken yet is the guest's credit: beyond it the guest's kernel
 * keeps the changes, and beyond its own bound it drops them, which is told as `lagged`.
 */
export class AgentFileWatcher implements FileWatcher<string | Buffer> {
  readonly ready: Promise<void>;
  readonly #abort = new AbortController();
  readonly #asBuffer: boolean;
  readonly #encoding: BufferEncoding;
  readonly #told: Told[] = [];
  readonly #waiters: Waiter[] = [];
  #worker: FileWorker | undefined;
  #onReady: () => void = () => undefined;
  #end: { readonly error?: unknown } | undefined;

  /** Throws `MICROVM_INVALID_ARGUMENT`. */
  constructor(pool: WorkerPool, path: GuestPath, options: WatchOptions) {
    const { recursive = false, encoding = 'utf8', signal } = options;
    this.#asBuffer = encoding === 'buffer';
    this.#encoding = encoding === null || encoding === 'buffer' ? 'utf8' : checkEncoding(encoding);
    const checked = checkPath('path', path);
    const body = new PayloadWriter().u8(recursive ? 1 : 0).blob(checked.bytes);
    const message = fileMessage(FileOp.watch, body);
    const { user, timeoutMs } = checkOptions(options);
    const own = this.#abort.signal;
    const limits = { user, timeoutMs, signal: signal === undefined ? own : AbortSignal.any([own, signal]) };
    let onFailed: (error: unknown) => void = () => undefined;
    this.ready = new Promise((resolve, reject) => {
      this.#onReady = resolve;
      onFailed = reject;
    });
    this.ready.catch(() => undefined); // Who iterates learns of it.
    const run = (worker: FileWorker): Promise<void> => {
      this.#worker = worker;
      const paths = checkLengths('watch', [checked]);
      const onEvent = (event: Buffer): boolean => this.#onEvent(event);
      return ask(worker, { message, paths, decode: decodeNothing, onEvent });
    };
    pool.run({ operation: 'watch', use: 'stream', options: limits, run }).then(
      () => this.#finish({}),
      (error: unknown) => {
        onFailed(error);
        this.#finish(error === CLOSED ? {} : { error });
      },
    );
  }

  next(): Promise<Result> {
    const told = this.#told.shift();
    if (told !== undefined) {
      this.#worker?.taken(told.cost);
      return Promise.resolve({ done: false, value: told.change });
    }
    if (this.#end !== undefined) {
      const { error } = this.#end;
      this.#end = {};
      return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
    }
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  return(): Promise<Result> {
    this.#told.length = 0;
    this.#abort.abort(CLOSED);
    return Promise.resolve({ done: true, value: undefined });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #onEvent(event: Buffer): boolean {
    const input = new PayloadReader(event);
    const kind = input.oneOf(KINDS, 0);
    const name = Buffer.from(input.blob(MAX_FILE_PATH_BYTES));
    input.end();
    const hasName = kind === 'rename' || kind === 'change';
    if (hasName !== name.length > 0) throw new ProtocolError('a change of nothing');
    if (kind === 'ready') {
      this.#onReady();
      return false;
    }
    const filename = this.#asBuffer ? name : name.toString(this.#encoding);
    const change = { eventType: kind, filename: hasName ? filename : null };
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve({ done: false, value: change });
      return false;
    }
    this.#told.push({ change, cost: event.length + FILE_MESSAGE_HEAD });
    return true;
  }

  #finish(end: { readonly error?: unknown }): void {
    this.#end = end;
    for (const waiter of this.#waiters.splice(0)) void this.next().then(waiter.resolve, waiter.reject);
  }
}
