import { fileProtocol, PayloadReader, PayloadWriter, ProtocolError } from '@microvm/guest';
import { basenameOf, join, type FileSystem } from '../fs/file-system.js';
import { DiskError, type Inode } from '../fs/inode.js';
import { calling, FileFailure } from './file-failure.js';
import { bytesOfPath, pathOf } from './guest-name.js';
import type { OpenedFile } from './open-file-flags.js';
import { encodeStats, kindOf } from './stats.js';

const { FileAnswer, FileOp, FileTarget, MAX_FILE_DATA, MAX_FILE_PATH_BYTES, RM_FORCE, RM_RECURSIVE } =
  fileProtocol;

/** The body of FILE_DONE; undefined: the request has had its answer, or will have it later. */
export type Answer = Buffer | undefined;

export type Send = (type: number, body: Buffer) => Promise<void>;

const NOTHING = Buffer.alloc(0);
const NS_PER_MS = 1_000_000n;

export function readPath(input: PayloadReader): string {
  return pathOf(input.blob(MAX_FILE_PATH_BYTES));
}

/** The requests that name a path and are answered at once. */
export class PathRequests {
  readonly #files: FileSystem;
  readonly #send: Send;
  readonly #opened: () => OpenedFile;

  constructor(files: FileSystem, parts: { readonly send: Send; readonly opened: () => OpenedFile }) {
    this.#files = files;
    this.#send = parts.send;
    this.#opened = parts.opened;
  }

  perform(op: number, body: Buffer): Answer | Promise<Answer> {
    const input = new PayloadReader(body);
    switch (op) {
      case FileOp.stat:
        return this.#stat(input);
      case FileOp.readdir:
        return this.#readdir(input);
      case FileOp.mkdir:
        return this.#mkdir(input);
      case FileOp.rm:
        return this.#rm(input);
      case FileOp.rename:
        return this.#onTwo('rename', input, (from, to) => this.#files.rename(from, to));
      case FileOp.link:
        return this.#onTwo('link', input, (from, to) => this.#files.link(from, to));
      case FileOp.symlink:
        return this.#onTwo('symlink', input, (target, path) => void this.#files.symlink(target, path));
      case FileOp.copyFile:
        return this.#copyFile(input);
      case FileOp.chmod:
      case FileOp.chown:
      case FileOp.utimes:
        return this.#setFacts(op, input);
      case FileOp.truncate:
        return this.#truncate(input);
      default:
        return this.#onOne(op, input);
    }
  }

  #onTwo(syscall: string, input: PayloadReader, act: (first: string, second: string) => void): Buffer {
    const [first, second] = [readPath(input), readPath(input)];
    input.end();
    calling(syscall, () => act(first, second));
    return NOTHING;
  }

  #onOne(op: number, input: PayloadReader): Buffer {
    const files = this.#files;
    const mode = op === FileOp.access ? input.u32() : 0;
    const path = readPath(input);
    input.end();
    switch (op) {
      case FileOp.readlink:
        return blob(calling('readlink', () => files.readlink(path)));
      case FileOp.realpath:
        return blob(calling('realpath', () => files.realpath(path)));
      case FileOp.access:
        calling('access', () => this.#access(path, mode));
        return NOTHING;
      case FileOp.mkdtemp:
        return blob(calling('mkdtemp', () => this.#mkdtemp(path)));
      case FileOp.unlink:
        calling('unlink', () => files.unlink(path));
        return NOTHING;
      case FileOp.rmdir:
        calling('rmdir', () => files.rmdir(path));
        return NOTHING;
      default:
        throw new ProtocolError('no such request');
    }
  }

  #stat(input: PayloadReader): Buffer {
    const target = input.u8();
    const path = target === FileTarget.openFile ? '' : readPath(input);
    input.end();
    const files = this.#files;
    if (target === FileTarget.openFile) return encodeStats(this.#opened().inode);
    const isLink = target === FileTarget.link;
    return encodeStats(
      calling(isLink ? 'lstat' : 'stat', () => (isLink ? files.lstat(path) : files.stat(path))),
    );
  }

  async #readdir(input: PayloadReader): Promise<Buffer> {
    const isRecursive = input.u8() === 1;
    const path = readPath(input);
    input.end();
    let part = new PayloadWriter();
    let size = 0;
    for (const [name, inode] of this.#entries(path, '', isRecursive)) {
      const bytes = bytesOfPath(name);
      if (size + bytes.length + 5 > MAX_FILE_DATA) {
        await this.#send(FileAnswer.entries, part.done());
        part = new PayloadWriter();
        size = 0;
      }
      part.u8(kindOf(inode)).blob(bytes);
      size += bytes.length + 5;
    }
    if (size > 0) await this.#send(FileAnswer.entries, part.done());
    return NOTHING;
  }

  *#entries(path: string, below: string, isRecursive: boolean): Generator<readonly [string, Inode]> {
    const names = calling('scandir', () => this.#files.readdir(path));
    for (const name of names) {
      const inode = this.#files.lstat(join(path, name));
      const shown = below === '' ? name : join(below, name);
      yield [shown, inode];
      if (isRecursive && inode.kind === 'directory') yield* this.#entries(join(path, name), shown, true);
    }
  }

  #mkdir(input: PayloadReader): Buffer {
    const isRecursive = input.u8() === 1;
    const mode = input.u32();
    const path = readPath(input);
    input.end();
    return calling('mkdir', () => {
      if (!isRecursive) this.#files.mkdir(path, mode);
      return blob(isRecursive ? this.#mkdirAll(path, mode) : '');
    });
  }

  /** The first folder that was made; empty: none. */
  #mkdirAll(path: string, mode: number): string {
    let first = '';
    let made = '';
    const parts = path.split('/').filter(Boolean);
    for (const [index, part] of parts.entries()) {
      made += `/${part}`;
      const { inode } = this.#files.locate(made);
      if (inode === undefined) {
        this.#files.mkdir(made, mode);
        first ||= made;
      } else if (inode.kind !== 'directory') {
        throw new DiskError(index === parts.length - 1 ? 'EEXIST' : 'ENOTDIR', made);
      }
    }
    return first;
  }

  #rm(input: PayloadReader): Buffer {
    const bits = input.u8();
    const path = readPath(input);
    input.end();
    const isForced = (bits & RM_FORCE) !== 0;
    const place = calling('lstat', () =>
      isForced ? this.#files.locateQuietly(path) : this.#files.locate(path, false),
    );
    if (place?.inode === undefined) {
      if (isForced) return NOTHING;
      throw new FileFailure('ENOENT', 'lstat');
    }
    if (place.inode.kind !== 'directory') calling('unlink', () => this.#files.unlink(path));
    else if ((bits & RM_RECURSIVE) === 0) throw new FileFailure('EISDIR', 'rm');
    else calling('rmdir', () => this.#files.removeAll(path));
    return NOTHING;
  }

  #copyFile(input: PayloadReader): Buffer {
    const mode = input.u32();
    const [from, to] = [readPath(input), readPath(input)];
    input.end();
    const [EXCLUSIVE, CLONE_ONLY] = [1, 4];
    const files = this.#files;
    calling('copyfile', () => {
      const source = files.open(from, { read: true });
      if (source.kind === 'directory') throw new DiskError('EISDIR', from);
      if ((mode & CLONE_ONLY) !== 0) throw new DiskError('ENOTSUP', 'no disk in memory shares bytes');
      if (files.find(to) === source) return;
      const flags = { write: true, create: true, exclusive: (mode & EXCLUSIVE) !== 0, mode: source.mode };
      const target = files.open(to, flags);
      files.tree.truncate(target, 0);
      files.tree.write(target, 0, source.read(0, source.size));
      if (files.user.uid === 0 || files.user.uid === target.uid)
        files.tree.setFacts(target, { mode: source.mode });
    });
    return NOTHING;
  }

  #setFacts(op: number, input: PayloadReader): Buffer {
    const target = input.u8();
    const first = op === FileOp.utimes ? BigInt.asIntN(64, input.u64()) : BigInt(input.u32());
    const second =
      op === FileOp.utimes ? BigInt.asIntN(64, input.u64()) : op === FileOp.chown ? BigInt(input.u32()) : 0n;
    const path = target === FileTarget.openFile ? '' : readPath(input);
    input.end();
    const name =
      { [FileOp.chmod]: 'chmod', [FileOp.chown]: 'chown', [FileOp.utimes]: 'utime' }[op] ?? 'chmod';
    const prefix = target === FileTarget.openFile ? 'f' : target === FileTarget.link ? 'l' : '';
    calling(prefix + name, () => {
      const change = { op, first, second, follow: target !== FileTarget.link };
      if (target === FileTarget.openFile) this.#setOpen(this.#opened().inode, change);
      else this.#setNamed(path, change);
    });
    return NOTHING;
  }

  #setNamed(path: string, { op, first, second, follow }: Change): void {
    const files = this.#files;
    if (op === FileOp.chmod) files.chmod(path, Number(first));
    else if (op === FileOp.chown) files.chown(path, ids(first, second), follow);
    else files.utimes(path, ms(second), { atimeMs: ms(first), follow });
  }

  #setOpen(inode: Inode, { op, first, second }: Change): void {
    const { tree, user } = this.#files;
    if (user.uid !== 0 && (op === FileOp.chown || user.uid !== inode.uid))
      throw new DiskError('EPERM', 'not the owner');
    if (op === FileOp.chmod) tree.setFacts(inode, { mode: Number(first) & 0o7777 });
    else if (op === FileOp.chown) tree.setFacts(inode, ids(first, second));
    else tree.setFacts(inode, { atimeMs: ms(first), mtimeMs: ms(second) });
  }

  #truncate(input: PayloadReader): Buffer {
    const target = input.u8();
    const length = Number(input.u64());
    const path = target === FileTarget.openFile ? '' : readPath(input);
    input.end();
    const { tree } = this.#files;
    if (target !== FileTarget.openFile) {
      const inode = calling('open', () => this.#files.open(path, { write: true }));
      calling('ftruncate', () => tree.truncate(inode, length));
      return NOTHING;
    }
    const opened = this.#opened();
    if (!opened.mayWrite) throw new FileFailure('EINVAL', 'ftruncate');
    calling('ftruncate', () => tree.truncate(opened.inode, length));
    return NOTHING;
  }

  #access(path: string, mode: number): void {
    const inode = this.#files.stat(path);
    const isAllowed =
      ((mode & 4) === 0 || this.#files.mayRead(inode)) &&
      ((mode & 2) === 0 || this.#files.mayWrite(inode)) &&
      ((mode & 1) === 0 || this.#files.mayExecute(inode));
    if (!isAllowed) throw new DiskError('EACCES', path);
  }

  #mkdtemp(prefix: string): string {
    for (let attempt = 0; attempt < 100; attempt += 1) {
      const path = prefix + Math.random().toString(36).slice(2, 8).padEnd(6, 'x');
      if (this.#files.locate(path, false).inode !== undefined) continue;
      this.#files.mkdir(path, 0o700);
      return path;
    }
    throw new DiskError('EEXIST', basenameOf(prefix));
  }
}

interface Change {
  readonly op: number;
  readonly first: bigint;
  readonly second: bigint;
  readonly follow: boolean;
}

function blob(path: string): Buffer {
  return new PayloadWriter().blob(bytesOfPath(path)).done();
}

function ms(nanoseconds: bigint): number {
  return Number(nanoseconds / 1_000n) / Number(NS_PER_MS / 1_000n);
}

/** 2³² − 1 leaves an id as it is. */
function ids(uid: bigint, gid: bigint): { uid?: number; gid?: number } {
  const UNCHANGED = 0xffff_ffffn;
  return {
    ...(uid === UNCHANGED ? {} : { uid: Number(uid) }),
    ...(gid === UNCHANGED ? {} : { gid: Number(gid) }),
  };
}
