import { constants } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { invalidArgument } from '@microvm/runtime';
import type {
  CopyInOptions,
  CopyOutOptions,
  FileCallOptions,
  FileReadStreamOptions,
  FileStats,
  FileTime,
  FileWriteStreamOptions,
  GuestFileHandle,
  GuestFiles,
  GuestPath,
  MkdirOptions,
  PathAnswerOptions,
  ReaddirOptions,
  ReadFileOptions,
  RmOptions,
  TreeCopy,
  WatchOptions,
  WriteFileOptions,
} from '@microvm/runtime';
import { PayloadReader, PayloadWriter } from '../payload.js';
import { ask, decodeNothing } from './ask.js';
import { collectContent, CollectTurn, DEFAULT_MAX_BYTES } from './collect.js';
import { listFolder } from './entries.js';
import {
  checkEncoding,
  checkFlags,
  checkId,
  checkLengths,
  checkMode,
  checkOptions,
  checkPath,
  checkSize,
  checkTime,
} from './file-arguments.js';
import type { CheckedPath } from './file-arguments.js';
import type { CallPaths } from './file-error.js';
import { AgentFileHandle } from './file-handle.js';
import { fileMessage } from './file-message.js';
import {
  FileOp,
  FileTarget,
  MAX_FILE_PATH_BYTES,
  NO_POSITION,
  RM_FORCE,
  RM_RECURSIVE,
} from './file-protocol.js';
import { decodeStats } from './file-stats.js';
import { AgentFileWatcher } from './file-watch.js';
import { FileReadStream, FileWriteStream } from './file-streams.js';
import type { FileWorker } from './file-worker.js';
import { copyIn, copyOut } from './trees.js';
import { WorkerPool } from './worker-pool.js';
import type { StreamQueue } from '../stream-queue.js';
import { writeContent } from './write-content.js';

const DEFAULT_FILE_MODE = 0o666;
const DEFAULT_FOLDER_MODE = 0o777;
const NO_END = 0xffff_ffff_ffff_ffffn;
const MAX_COLLECTED = 0x7fff_ffff;

/** A request whose body is made when its paths are known to fit. */
interface Call {
  readonly op: FileOp;
  /** The system call that an error names which the guest is not asked for. */
  readonly syscall: string;
  readonly paths: readonly CheckedPath[];
  /** What comes before the paths. */
  readonly head?: PayloadWriter;
  readonly options: FileCallOptions | undefined;
}

interface PathCall extends Omit<Call, 'paths'> {
  readonly given: readonly GuestPath[];
}

/** The files of a guest, through its agent. See `GuestFiles`. */
export class AgentFiles implements GuestFiles {
  readonly #pool: WorkerPool;
  readonly #turn = new CollectTurn();

  /** `onAdded`: something waits in the queue for a session. */
  constructor(queue: StreamQueue, onAdded: () => void = () => undefined) {
    this.#pool = new WorkerPool(queue, onAdded);
  }

  readFile(
    path: GuestPath,
    options: (ReadFileOptions & { encoding: BufferEncoding }) | BufferEncoding,
  ): Promise<string>;
  readFile(path: GuestPath, options?: (ReadFileOptions & { encoding?: null }) | null): Promise<Buffer>;
  async readFile(path: GuestPath, given?: ReadFileOptions | BufferEncoding | null): Promise<string | Buffer> {
    const options = typeof given === 'string' ? { encoding: given } : (given ?? {});
    const { encoding, flag = 'r', maxBytes = DEFAULT_MAX_BYTES } = options;
    if (encoding !== undefined && encoding !== null) checkEncoding(encoding);
    const flags = checkFlags('flag', flag);
    checkSize('maxBytes', maxBytes, 1);
    const head = new PayloadWriter().u32(flags).u64(NO_POSITION).u64(NO_END);
    const content = await this.#run(
      'readFile',
      { op: FileOp.readFile, syscall: 'open', paths: [checkPath('path', path)], head, options },
      (worker, message, paths) =>
        collectContent({
          worker,
          message,
          paths,
          maxBytes: Math.min(maxBytes, MAX_COLLECTED),
          turn: this.#turn,
        }),
    );
    return typeof encoding === 'string' ? content.toString(encoding) : content;
  }

  writeFile(
    path: GuestPath,
    data: string | Uint8Array,
    given: WriteFileOptions | BufferEncoding = {},
  ): Promise<void> {
    return this.#write('writeFile', path, data, { flag: 'w', ...asOptions(given) });
  }

  appendFile(
    path: GuestPath,
    data: string | Uint8Array,
    given: Omit<WriteFileOptions, 'atomic'> | BufferEncoding = {},
  ): Promise<void> {
    return this.#write('appendFile', path, data, { flag: 'a', ...asOptions(given) });
  }

  open(
    path: GuestPath,
    flags: string | number = 'r',
    mode = DEFAULT_FILE_MODE,
    options?: FileCallOptions,
  ): Promise<GuestFileHandle> {
    return AgentFileHandle.open(this.#pool, { path, flags, mode, options });
  }

  createReadStream(path: GuestPath, options: FileReadStreamOptions = {}): Readable {
    return new FileReadStream(this.#pool, path, options);
  }

  createWriteStream(path: GuestPath, options: FileWriteStreamOptions = {}): Writable {
    return new FileWriteStream(this.#pool, path, options);
  }

  async stat(path: GuestPath, options?: FileCallOptions): Promise<FileStats> {
    return this.#stat('stat', FileTarget.path, path, options);
  }

  async lstat(path: GuestPath, options?: FileCallOptions): Promise<FileStats> {
    return this.#stat('lstat', FileTarget.link, path, options);
  }

  // SAFETY: the overloads of the contract say what each combination of options answers.
  readdir = (async (path: GuestPath, options: ReaddirOptions = {}): Promise<unknown[]> => {
    const { maxBytes = DEFAULT_MAX_BYTES, recursive = false, encoding = 'utf8' } = options;
    if (encoding !== null && encoding !== 'buffer') checkEncoding(encoding);
    checkSize('maxBytes', maxBytes, 1);
    const folder = checkPath('path', path);
    const head = new PayloadWriter().u8(recursive ? 1 : 0);
    return this.#run(
      'readdir',
      { op: FileOp.readdir, syscall: 'scandir', paths: [folder], head, options },
      (worker, message, paths) => listFolder({ worker, message, paths, folder, maxBytes, options }),
    );
  }) as GuestFiles['readdir'];

  async mkdir(path: GuestPath, options: MkdirOptions = {}): Promise<string | undefined> {
    const { recursive = false, mode = DEFAULT_FOLDER_MODE } = options;
    const head = new PayloadWriter().u8(recursive ? 1 : 0).u32(checkMode(mode));
    const call = { op: FileOp.mkdir, syscall: 'mkdir', paths: [checkPath('path', path)], head, options };
    const first = (await this.#ask('mkdir', call, decodePath)).toString('utf8');
    return first === '' ? undefined : first;
  }

  async rm(path: GuestPath, options: RmOptions = {}): Promise<void> {
    const { recursive = false, force = false } = options;
    const head = new PayloadWriter().u8((recursive ? RM_RECURSIVE : 0) | (force ? RM_FORCE : 0));
    const call = { op: FileOp.rm, syscall: 'lstat', paths: [checkPath('path', path)], head, options };
    await this.#ask('rm', call, decodeNothing);
  }

  async rmdir(path: GuestPath, options?: FileCallOptions): Promise<void> {
    await this.#onPath({ syscall: 'rmdir', op: FileOp.rmdir, given: [path], options });
  }

  async unlink(path: GuestPath, options?: FileCallOptions): Promise<void> {
    await this.#onPath({ syscall: 'unlink', op: FileOp.unlink, given: [path], options });
  }

  async rename(from: GuestPath, to: GuestPath, options?: FileCallOptions): Promise<void> {
    await this.#onPath({ syscall: 'rename', op: FileOp.rename, given: [from, to], options });
  }

  async copyFile(from: GuestPath, to: GuestPath, mode = 0, options?: FileCallOptions): Promise<void> {
    const all = constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE | constants.COPYFILE_FICLONE_FORCE;
    const head = new PayloadWriter().u32(checkMode(mode, all));
    await this.#onPath({ syscall: 'copyfile', op: FileOp.copyFile, given: [from, to], options, head });
  }

  async chmod(path: GuestPath, mode: number, options?: FileCallOptions): Promise<void> {
    const head = new PayloadWriter().u8(FileTarget.path).u32(checkMode(mode));
    await this.#onPath({ syscall: 'chmod', op: FileOp.chmod, given: [path], options, head });
  }

  async chown(path: GuestPath, uid: number, gid: number, options?: FileCallOptions): Promise<void> {
    const head = owner(FileTarget.path, uid, gid);
    await this.#onPath({ syscall: 'chown', op: FileOp.chown, given: [path], options, head });
  }

  async lchown(path: GuestPath, uid: number, gid: number, options?: FileCallOptions): Promise<void> {
    const head = owner(FileTarget.link, uid, gid);
    await this.#onPath({ syscall: 'lchown', op: FileOp.chown, given: [path], options, head });
  }

  async utimes(path: GuestPath, atime: FileTime, mtime: FileTime, options?: FileCallOptions): Promise<void> {
    const head = times(FileTarget.path, atime, mtime);
    await this.#onPath({ syscall: 'utime', op: FileOp.utimes, given: [path], options, head });
  }

  async lutimes(path: GuestPath, atime: FileTime, mtime: FileTime, options?: FileCallOptions): Promise<void> {
    const head = times(FileTarget.link, atime, mtime);
    await this.#onPath({ syscall: 'lutime', op: FileOp.utimes, given: [path], options, head });
  }

  async symlink(target: GuestPath, path: GuestPath, options?: FileCallOptions): Promise<void> {
    const paths = [checkPath('target', target, true), checkPath('path', path)];
    await this.#ask('symlink', { op: FileOp.symlink, syscall: 'symlink', paths, options }, decodeNothing);
  }

  async link(existing: GuestPath, path: GuestPath, options?: FileCallOptions): Promise<void> {
    await this.#onPath({ syscall: 'link', op: FileOp.link, given: [existing, path], options });
  }

  readlink(path: GuestPath, options: PathAnswerOptions & { encoding: 'buffer' }): Promise<Buffer>;
  readlink(path: GuestPath, options?: PathAnswerOptions): Promise<string>;
  readlink(path: GuestPath, options: PathAnswerOptions = {}): Promise<string | Buffer> {
    return this.#answersPath('readlink', FileOp.readlink, path, options);
  }

  realpath(path: GuestPath, options: PathAnswerOptions & { encoding: 'buffer' }): Promise<Buffer>;
  realpath(path: GuestPath, options?: PathAnswerOptions): Promise<string>;
  realpath(path: GuestPath, options: PathAnswerOptions = {}): Promise<string | Buffer> {
    return this.#answersPath('realpath', FileOp.realpath, path, options);
  }

  mkdtemp(prefix: GuestPath, options: PathAnswerOptions & { encoding: 'buffer' }): Promise<Buffer>;
  mkdtemp(prefix: GuestPath, options?: PathAnswerOptions): Promise<string>;
  mkdtemp(prefix: GuestPath, options: PathAnswerOptions = {}): Promise<string | Buffer> {
    return this.#answersPath('mkdtemp', FileOp.mkdtemp, prefix, options);
  }

  async truncate(path: GuestPath, length = 0, options?: FileCallOptions): Promise<void> {
    const head = new PayloadWriter().u8(FileTarget.path).u64(BigInt(checkSize('length', length)));
    await this.#onPath({ syscall: 'open', op: FileOp.truncate, given: [path], options, head });
  }

  async access(path: GuestPath, mode = 0, options?: FileCallOptions): Promise<void> {
    const head = new PayloadWriter().u32(checkMode(mode, 7));
    await this.#onPath({ syscall: 'access', op: FileOp.access, given: [path], options, head });
  }

  // SAFETY: the encoding of the options says what the names are.
  watch = ((path: GuestPath, options: WatchOptions = {}) =>
    new AgentFileWatcher(this.#pool, path, options)) as GuestFiles['watch'];

  copyIn(hostPath: string, guestPath: GuestPath, options: CopyInOptions = {}): Promise<TreeCopy> {
    return copyIn(this.#pool, hostPath, guestPath, options);
  }

  copyOut(guestPath: GuestPath, hostPath: string, options: CopyOutOptions = {}): Promise<TreeCopy> {
    return copyOut(this.#pool, guestPath, hostPath, options);
  }

  async #stat(
    syscall: string,
    target: FileTarget,
    path: GuestPath,
    options: FileCallOptions | undefined,
  ): Promise<FileStats> {
    const head = new PayloadWriter().u8(target);
    const paths = [checkPath('path', path)];
    return this.#ask(syscall, { op: FileOp.stat, syscall, paths, head, options }, decodeStats);
  }

  async #write(
    operation: string,
    path: GuestPath,
    data: string | Uint8Array,
    options: WriteFileOptions & { readonly flag: string | number },
  ): Promise<void> {
    const { encoding = 'utf8', mode = DEFAULT_FILE_MODE, flag, flush = false } = options;
    const isAtomic = options.atomic === true;
    if (isAtomic && flag !== 'w') throw invalidArgument('atomic', 'a write with the flag "w"');
    if (typeof data !== 'string' && !(data instanceof Uint8Array))
      throw invalidArgument('data', 'a string or bytes');
    const bytes =
      typeof data === 'string'
        ? Buffer.from(data, checkEncoding(encoding))
        : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const flags = checkFlags('flag', flag);
    const checked = checkPath('path', path);
    const named = checkLengths('open', [checked]);
    const request = {
      ...{ flags, mode: checkMode(mode), isAtomic, isFlushed: flush, start: undefined },
      path: checked.bytes,
    };
    await this.#pool.run({
      ...{ operation, use: 'call', options: checkOptions(options) },
      run: (worker) => writeContent(worker, request, bytes, named),
    });
  }

  async #answersPath(
    syscall: string,
    op: FileOp,
    path: GuestPath,
    options: PathAnswerOptions,
  ): Promise<string | Buffer> {
    const { encoding = 'utf8' } = options;
    if (encoding !== 'buffer' && encoding !== null) checkEncoding(encoding);
    const call = { op, syscall, paths: [checkPath('path', path)], options };
    const bytes = await this.#ask(syscall, call, decodePath);
    return encoding === 'buffer' ? bytes : bytes.toString(encoding ?? 'utf8');
  }

  async #onPath(call: PathCall): Promise<void> {
    const { syscall, given, ...rest } = call;
    const paths = given.map((path, index) => checkPath(index === 0 ? 'path' : 'to', path));
    await this.#ask(syscall, { syscall, paths, ...rest }, decodeNothing);
  }

  #ask<T>(operation: string, call: Call, decode: (body: Buffer) => T): Promise<T> {
    return this.#run(operation, call, (worker, message, paths) => ask(worker, { message, paths, decode }));
  }

  #run<T>(
    operation: string,
    { op, syscall, paths, head = new PayloadWriter(), options }: Call,
    task: (worker: FileWorker, message: Buffer, paths: CallPaths) => Promise<T>,
  ): Promise<T> {
    const named = checkLengths(syscall, paths);
    for (const { bytes } of paths) head.blob(bytes);
    const message = fileMessage(op, head);
    return this.#pool.run({
      ...{ operation, use: 'call', options: checkOptions(options) },
      run: (worker) => task(worker, message, named),
    });
  }
}

function asOptions<T extends WriteFileOptions>(given: T | BufferEncoding): T | { encoding: BufferEncoding } {
  return typeof given === 'string' ? { encoding: given } : given;
}

function owner(target: FileTarget, uid: number, gid: number): PayloadWriter {
  return new PayloadWriter().u8(target).u32(checkId('uid', uid)).u32(checkId('gid', gid));
}

function times(target: FileTarget, atime: FileTime, mtime: FileTime): PayloadWriter {
  const word = (ns: bigint) => BigInt.asUintN(64, ns);
  return new PayloadWriter()
    .u8(target)
    .u64(word(checkTime('atime', atime)))
    .u64(word(checkTime('mtime', mtime)));
}

function decodePath(body: Buffer): Buffer {
  const input = new PayloadReader(body);
  const path = Buffer.from(input.blob(MAX_FILE_PATH_BYTES));
  input.end();
  return path;
}
