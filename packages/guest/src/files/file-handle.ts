import { invalidArgument, VmRuntimeError, withoutUndefined } from '@microvm/runtime';
import type {
  FileCallOptions,
  FileHandleOptions,
  FileStats,
  FileTransferOptions,
  FileTime,
  GuestFileHandle,
  GuestPath,
} from '@microvm/runtime';
import { watchDeadline } from '../deadline.js';
import { PayloadWriter } from '../payload.js';
import { ProtocolError } from '../protocol.js';
import { ask, decodeNothing } from './ask.js';
import type { Question } from './ask.js';
import {
  checkFlags,
  checkId,
  checkLengths,
  checkMode,
  checkOptions,
  checkPath,
  checkSize,
  checkTime,
} from './file-arguments.js';
import { badDescriptor } from './file-error.js';
import { fileMessage } from './file-message.js';
import { FileOp, FileTarget, MAX_FILE_DATA, NO_POSITION } from './file-protocol.js';
import { decodeStats } from './file-stats.js';
import type { FileWorker } from './file-worker.js';
import { withLimits } from './worker-pool.js';
import type { WorkerPool } from './worker-pool.js';

/** A READ asks for no more, so that its deadline is looked at now and then. */
const MAX_READ = 1 << 20;

export interface OpenRequest {
  readonly path: GuestPath;
  readonly flags: string | number;
  readonly mode: number;
  readonly options: FileCallOptions | undefined;
}

/** See `GuestFileHandle`. */
export class AgentFileHandle implements GuestFileHandle {
  readonly #worker: FileWorker;
  #closing: Promise<void> | undefined;

  private constructor(worker: FileWorker) {
    this.#worker = worker;
  }

  static async open(pool: WorkerPool, { path, flags, mode, options }: OpenRequest): Promise<AgentFileHandle> {
    const checked = checkPath('path', path);
    const body = new PayloadWriter().u32(checkFlags('flags', flags)).u32(checkMode(mode)).blob(checked.bytes);
    const paths = checkLengths('open', [checked]);
    const question = { message: fileMessage(FileOp.open, body), paths, decode: decodeNothing };
    const worker = await pool.run({
      ...{ operation: 'open', use: 'handle', options: checkOptions(options) },
      run: (taken) => ask(taken, question).then(() => taken),
    });
    return new AgentFileHandle(worker);
  }

  read<T extends Uint8Array>(buffer: T, options?: FileTransferOptions): Promise<BytesRead<T>>;
  read<T extends Uint8Array>(
    buffer: T,
    offset?: number,
    length?: number,
    position?: number | null,
  ): Promise<BytesRead<T>>;
  async read<T extends Uint8Array>(
    buffer: T,
    given: FileTransferOptions | number = {},
    length?: number,
    position?: number | null,
  ): Promise<BytesRead<T>> {
    const { bytes: target, at: first, limits } = transfer(buffer, given, { length, position });
    let at = first;
    let bytesRead = 0;
    while (bytesRead < target.length) {
      const most = Math.min(target.length - bytesRead, MAX_READ);
      const got = await this.#read(target.subarray(bytesRead, bytesRead + most), at, limits);
      bytesRead += got;
      if (at !== NO_POSITION) at += BigInt(got);
      if (got < most) break;
    }
    return { bytesRead, buffer };
  }

  write<T extends Uint8Array>(buffer: T, options?: FileTransferOptions): Promise<BytesWritten<T>>;
  write<T extends Uint8Array>(
    buffer: T,
    offset?: number,
    length?: number,
    position?: number | null,
  ): Promise<BytesWritten<T>>;
  async write<T extends Uint8Array>(
    buffer: T,
    given: FileTransferOptions | number = {},
    length?: number,
    position?: number | null,
  ): Promise<BytesWritten<T>> {
    const { bytes: source, at: first, limits } = transfer(buffer, given, { length, position });
    let at = first;
    for (let written = 0; written < source.length; written += MAX_FILE_DATA) {
      const data = source.subarray(written, written + MAX_FILE_DATA);
      await this.#ask('write', FileOp.write, new PayloadWriter().u64(at).blob(data), limits);
      if (at !== NO_POSITION) at += BigInt(data.length);
    }
    return { bytesWritten: source.length, buffer };
  }

  async stat(options?: FileHandleOptions): Promise<FileStats> {
    const message = fileMessage(FileOp.stat, new PayloadWriter().u8(FileTarget.openFile));
    return this.#question('fstat', { message, paths: {}, decode: decodeStats }, options);
  }

  async truncate(length = 0, options?: FileHandleOptions): Promise<void> {
    const body = this.#own().u64(BigInt(checkSize('length', length)));
    await this.#ask('ftruncate', FileOp.truncate, body, options);
  }

  async chmod(mode: number, options?: FileHandleOptions): Promise<void> {
    await this.#ask('fchmod', FileOp.chmod, this.#own().u32(checkMode(mode)), options);
  }

  async chown(uid: number, gid: number, options?: FileHandleOptions): Promise<void> {
    const body = this.#own().u32(checkId('uid', uid)).u32(checkId('gid', gid));
    await this.#ask('fchown', FileOp.chown, body, options);
  }

  async utimes(atime: FileTime, mtime: FileTime, options?: FileHandleOptions): Promise<void> {
    const body = this.#own();
    for (const ns of [checkTime('atime', atime), checkTime('mtime', mtime)]) body.u64(BigInt.asUintN(64, ns));
    await this.#ask('futime', FileOp.utimes, body, options);
  }

  async sync(options?: FileHandleOptions): Promise<void> {
    await this.#ask('fsync', FileOp.sync, new PayloadWriter().u8(0), options);
  }

  async datasync(options?: FileHandleOptions): Promise<void> {
    await this.#ask('fdatasync', FileOp.sync, new PayloadWriter().u8(1), options);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    // One whose worker is gone has no file any more.
    if (this.#worker.isOver) return;
    const question = { message: fileMessage(FileOp.close), paths: {}, decode: decodeNothing };
    await ask(this.#worker, question).finally(() => this.#worker.end());
  }

  async #read(target: Uint8Array, at: bigint, options: FileHandleOptions | undefined): Promise<number> {
    let size = 0;
    const onContent = (data: Buffer): boolean => {
      if (data.length > target.length - size) throw new ProtocolError('more content than was asked for');
      target.set(data, size);
      size += data.length;
      return false;
    };
    const message = fileMessage(FileOp.read, new PayloadWriter().u64(at).u32(target.length));
    await this.#question('read', { message, paths: {}, decode: decodeNothing, onContent }, options);
    return size;
  }

  #own(): PayloadWriter {
    return new PayloadWriter().u8(FileTarget.openFile);
  }

  #ask(operation: string, op: FileOp, body: PayloadWriter, options?: FileHandleOptions): Promise<void> {
    const message = fileMessage(op, body);
    return this.#question(operation, { message, paths: {}, decode: decodeNothing }, options);
  }

  #question<T>(operation: string, question: Question<T>, options?: FileHandleOptions): Promise<T> {
    const { signal, timeoutMs } = checkOptions(options);
    if (this.#closing !== undefined || this.#worker.isOver) return Promise.reject(this.#gone(operation));
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    const stopWatching = watchDeadline(operation, withLimits(signal, timeoutMs), (reason) => {
      this.#worker.cancel(reason);
    });
    return ask(this.#worker, question).finally(stopWatching);
  }

  /** Why there is no file: it was closed, or its worker has ended, as by the end of the session. */
  #gone(operation: string): Error {
    const { reason } = this.#worker;
    return reason instanceof VmRuntimeError && this.#closing === undefined
      ? reason
      : badDescriptor(operation);
  }
}

interface BytesRead<T> {
  readonly bytesRead: number;
  readonly buffer: T;
}

interface BytesWritten<T> {
  readonly bytesWritten: number;
  readonly buffer: T;
}

/** Both forms that Node has: options, or an offset and what follows it. */
function transfer(
  buffer: Uint8Array,
  given: FileTransferOptions | number,
  behind: { readonly length: number | undefined; readonly position: number | null | undefined },
): { readonly bytes: Uint8Array; readonly at: bigint; readonly limits: FileHandleOptions } {
  if (!(buffer instanceof Uint8Array)) throw invalidArgument('buffer', 'bytes');
  const options: FileTransferOptions =
    typeof given === 'number' ? withoutUndefined({ offset: given, ...behind }) : given;
  const { offset = 0, position = null, ...limits } = options;
  checkSize('offset', offset);
  const length = checkSize('length', options.length ?? buffer.byteLength - offset);
  if (offset + length > buffer.byteLength) throw invalidArgument('length', 'a part of the buffer');
  const at = position === null ? NO_POSITION : BigInt(checkSize('position', position));
  return { bytes: buffer.subarray(offset, offset + length), at, limits };
}
