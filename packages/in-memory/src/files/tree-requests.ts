import { fileProtocol, PayloadReader, PayloadWriter, ProtocolError } from '@microvm/guest';
import { join, type FileSystem } from '../fs/file-system.js';
import { DiskError, type Inode } from '../fs/inode.js';
import { calling, FileFailure } from './file-failure.js';
import { bytesOfPath, pathOf } from './guest-name.js';
import { readPath, type Answer, type Send } from './path-requests.js';
import { kindOf, putTime } from './stats.js';

const { FileOp, MAX_FILE_DATA, MAX_FILE_PATH_BYTES, TREE_HARD_LINKS, TREE_OWNERS, TreeMessage } =
  fileProtocol;
const MOST_DEPTH = 256;
const MAX_NAME_BYTES = 255;
const [FIFO, CHARACTER, FOLDER, BLOCK, FILE, LINK, HARD_LINK] = [1, 2, 4, 6, 8, 10, 0];

interface Entry {
  readonly kind: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly size: number;
  readonly link: number;
  readonly name: string;
  readonly target: string;
}

/** A tree that the host sends. */
interface Receiving {
  readonly root: string;
  readonly keepsOwners: boolean;
  /** Where the next entry goes, with what its folder is to become. */
  readonly folders: { readonly path: string; readonly entry: Entry }[];
  readonly files: Map<number, string>;
  current: { readonly path: string; readonly inode: Inode; readonly entry: Entry } | undefined;
  hasRoot: boolean;
  /** It was answered: what still comes of it is thrown away. */
  hasFailed: boolean;
  entries: number;
  bytes: number;
  skipped: number;
}

/** The requests that carry whole trees of files. */
export class TreeRequests {
  readonly #files: FileSystem;
  readonly #send: Send;
  #receiving: Receiving | undefined;

  constructor(files: FileSystem, send: Send) {
    this.#files = files;
    this.#send = send;
  }

  close(): void {
    this.#dropFile();
    this.#receiving = undefined;
  }

  async perform(op: number, body: Buffer): Promise<Answer> {
    const input = new PayloadReader(body);
    if (op === FileOp.receiveTree) return this.#receive(input);
    if (op === FileOp.sendTree) return this.#sendTree(input);
    const receiving = this.#receiving;
    if (receiving === undefined) throw new ProtocolError('a message of no tree');
    if (receiving.hasFailed) return undefined;
    try {
      return this.#take(receiving, op, input);
    } catch (error) {
      if (error instanceof FileFailure) {
        receiving.hasFailed = true;
        this.#dropFile();
      }
      throw error;
    }
  }

  #receive(input: PayloadReader): Answer {
    const keepsOwners = (input.u8() & TREE_OWNERS) !== 0;
    const root = readPath(input);
    input.end();
    const counts = { entries: 0, bytes: 0, skipped: 0 };
    const state = { current: undefined, hasRoot: false, hasFailed: false, folders: [], files: new Map() };
    this.#receiving = { root, keepsOwners, ...state, ...counts };
    return undefined;
  }

  #take(receiving: Receiving, op: number, input: PayloadReader): Answer {
    switch (op) {
      case TreeMessage.entry:
        this.#onEntry(receiving, readEntry(input));
        return undefined;
      case TreeMessage.content:
        this.#onContent(receiving, Number(input.u64()), input);
        return undefined;
      case TreeMessage.up: {
        this.#endFile(receiving);
        const folder = receiving.folders.pop();
        if (folder === undefined) throw new ProtocolError('up from the root');
        calling('utime', () => this.#setFacts(receiving, this.#files.lstat(folder.path), folder.entry));
        return undefined;
      }
      case TreeMessage.end: {
        this.#endFile(receiving);
        if (!receiving.hasRoot || receiving.folders.length > 0)
          throw new ProtocolError('a tree that is not whole');
        this.#receiving = undefined;
        const { entries, bytes, skipped } = receiving;
        return new PayloadWriter().u64(BigInt(entries)).u64(BigInt(bytes)).u64(BigInt(skipped)).done();
      }
      default:
        throw new ProtocolError('no message of a tree');
    }
  }

  #onEntry(receiving: Receiving, entry: Entry): void {
    this.#endFile(receiving);
    const folder = receiving.folders.at(-1);
    const isRoot = !receiving.hasRoot;
    if (isRoot !== (entry.name === '') || (!isRoot && folder === undefined))
      throw new ProtocolError('a wrong name');
    receiving.hasRoot = true;
    const path = isRoot ? receiving.root : join(folder?.path ?? '/', entry.name);
    if (entry.kind === FIFO || entry.kind === CHARACTER || entry.kind === BLOCK) {
      receiving.skipped += 1; // there are none in memory
      return;
    }
    if (isRoot && entry.kind !== FOLDER && entry.kind !== FILE)
      throw new ProtocolError('a root of this kind');
    receiving.entries += 1;
    if (entry.kind === FOLDER) this.#makeFolder(receiving, path, entry);
    else if (entry.kind === FILE) this.#makeFile(receiving, path, entry);
    else if (entry.kind === LINK) this.#makeLink(receiving, path, entry);
    else if (entry.kind === HARD_LINK) this.#makeHardLink(receiving, path, entry);
    else throw new ProtocolError('an entry of this kind');
  }

  #makeFolder(receiving: Receiving, path: string, entry: Entry): void {
    if (receiving.folders.length >= MOST_DEPTH) throw new ProtocolError('too many folders in one another');
    const isRoot = receiving.folders.length === 0;
    const found = calling('mkdir', () => this.#files.locate(path, isRoot).inode);
    if (found?.kind !== 'directory') {
      if (found !== undefined) calling('unlink', () => this.#files.unlink(path));
      calling('mkdir', () => this.#files.mkdir(path, 0o700));
    }
    receiving.folders.push({ path, entry });
  }

  #makeFile(receiving: Receiving, path: string, entry: Entry): void {
    this.#clear(path);
    const inode = calling('open', () =>
      this.#files.open(path, { write: true, create: true, exclusive: true, mode: 0o600 }),
    );
    this.#files.tree.hold(inode);
    receiving.current = { path, inode, entry };
    if (entry.link !== 0) receiving.files.set(entry.link, path);
  }

  #makeLink(receiving: Receiving, path: string, entry: Entry): void {
    this.#clear(path);
    const inode = calling('symlink', () => this.#files.symlink(entry.target, path));
    calling('lutime', () => this.#setFacts(receiving, inode, { ...entry, mode: 0o777 }));
  }

  #makeHardLink(receiving: Receiving, path: string, { link }: Entry): void {
    const first = receiving.files.get(link);
    if (first === undefined) throw new ProtocolError('a further name of no file');
    this.#clear(path);
    calling('link', () => this.#files.link(first, path));
  }

  /** What is there, unless it is a folder that is not empty, makes room. */
  #clear(path: string): void {
    const found = calling('lstat', () => this.#files.locate(path, false).inode);
    if (found === undefined) return;
    if (found.kind === 'directory') calling('rmdir', () => this.#files.removeAll(path));
    else calling('unlink', () => this.#files.unlink(path));
  }

  #onContent(receiving: Receiving, offset: number, input: PayloadReader): void {
    const { current } = receiving;
    const data = input.rest();
    if (current === undefined || data.length === 0 || data.length > MAX_FILE_DATA) {
      throw new ProtocolError('content of no file');
    }
    const { inode, entry } = current;
    if (offset < inode.size || offset + data.length > entry.size)
      throw new ProtocolError('content out of its place');
    calling('write', () => this.#files.tree.write(inode, offset, data));
    receiving.bytes += data.length;
  }

  #endFile(receiving: Receiving): void {
    const { current } = receiving;
    if (current === undefined) return;
    const { inode, entry } = current;
    if (inode.size < entry.size) calling('ftruncate', () => this.#files.tree.truncate(inode, entry.size));
    calling('futime', () => this.#setFacts(receiving, inode, entry));
    this.#dropFile();
  }

  #dropFile(): void {
    const receiving = this.#receiving;
    if (receiving?.current === undefined) return;
    this.#files.tree.letGo(receiving.current.inode);
    receiving.current = undefined;
  }

  #setFacts({ keepsOwners }: Receiving, inode: Inode, { mode, uid, gid, atimeMs, mtimeMs }: Entry): void {
    const { tree, user } = this.#files;
    const isOther = uid !== inode.uid || gid !== inode.gid;
    if (keepsOwners && isOther && user.uid !== 0) throw new DiskError('EPERM', 'not the owner');
    const own = keepsOwners ? { uid, gid } : {};
    tree.setFacts(inode, { mode: mode & (keepsOwners ? 0o7777 : 0o777), atimeMs, mtimeMs, ...own });
  }

  async #sendTree(input: PayloadReader): Promise<Buffer> {
    const keepsLinks = (input.u8() & TREE_HARD_LINKS) !== 0;
    const path = readPath(input);
    input.end();
    const root = calling('stat', () => this.#files.stat(path));
    await this.#sendEntry({ path, name: '', inode: root, depth: 0 }, keepsLinks ? new Map() : undefined);
    await this.#send(TreeMessage.end, Buffer.alloc(0));
    return Buffer.alloc(0);
  }

  async #sendEntry(
    at: { readonly path: string; readonly name: string; readonly inode: Inode; readonly depth: number },
    numbers: Map<Inode, number> | undefined,
  ): Promise<void> {
    const { path, name, inode, depth } = at;
    if (depth > MOST_DEPTH) throw new FileFailure('ENAMETOOLONG', 'open');
    const known = numbers?.get(inode);
    const isShared = numbers !== undefined && inode.kind === 'file' && inode.links > 1;
    const link = known ?? (isShared ? numbers.size + 1 : 0);
    if (isShared && known === undefined) numbers.set(inode, link);
    await this.#send(TreeMessage.entry, entryOf(inode, { name, link, isFurther: known !== undefined }));
    if (inode.kind === 'file' && known === undefined) await this.#sendContent(path);
    if (inode.kind !== 'directory') return;
    for (const each of calling('scandir', () => this.#files.readdir(path))) {
      const below = join(path, each);
      const entry = calling('lstat', () => this.#files.lstat(below));
      await this.#sendEntry({ path: below, name: each, inode: entry, depth: depth + 1 }, numbers);
    }
    await this.#send(TreeMessage.up, Buffer.alloc(0));
  }

  async #sendContent(path: string): Promise<void> {
    const inode = calling('open', () => this.#files.open(path, { read: true }));
    for (let offset = 0; offset < inode.size; offset += MAX_FILE_DATA) {
      const data = inode.read(offset, MAX_FILE_DATA);
      await this.#send(TreeMessage.content, new PayloadWriter().u64(BigInt(offset)).raw(data).done());
    }
  }
}

function readTimeMs(input: PayloadReader): number {
  const seconds = Number(BigInt.asIntN(64, input.u64()));
  return seconds * 1_000 + input.u32() / 1_000_000;
}

function readEntry(input: PayloadReader): Entry {
  const [kind, mode, uid, gid] = [input.u8(), input.u32(), input.u32(), input.u32()];
  const [atimeMs, mtimeMs] = [readTimeMs(input), readTimeMs(input)];
  const size = Number(input.u64());
  input.u64(); // the number of a device
  const link = input.u32();
  const name = pathOf(input.blob(MAX_NAME_BYTES));
  const target = pathOf(input.blob(MAX_FILE_PATH_BYTES));
  input.end();
  if (name === '.' || name === '..' || name.includes('/') || name.includes('\0'))
    throw new ProtocolError('a wrong name');
  return { kind, mode, uid, gid, atimeMs, mtimeMs, size, link, name, target };
}

function entryOf(
  inode: Inode,
  { name, link, isFurther }: { readonly name: string; readonly link: number; readonly isFurther: boolean },
): Buffer {
  const output = new PayloadWriter()
    .u8(isFurther ? HARD_LINK : kindOf(inode))
    .u32(inode.mode)
    .u32(inode.uid)
    .u32(inode.gid);
  putTime(output, inode.atimeMs);
  putTime(output, inode.mtimeMs);
  return output
    .u64(BigInt(inode.kind === 'file' && !isFurther ? inode.size : 0))
    .u64(0n)
    .u32(link)
    .blob(bytesOfPath(name))
    .blob(inode.kind === 'symlink' ? bytesOfPath(inode.target) : Buffer.alloc(0))
    .done();
}
