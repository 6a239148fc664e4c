import { randomBytes } from 'node:crypto';
import type { FileSystem, OpenFlags } from '../fs/file-system.js';
import { DiskError, type Inode } from '../fs/inode.js';
import { badDescriptor, OpenFile, type ReadOptions } from './open-file.js';

const PIECE_BYTES = 65_536;

/** How a file is opened by a shell's redirection. */
export type Mode = '<' | '>' | '>>' | '<>';

const FLAGS: Readonly<Record<Mode, OpenFlags>> = {
  '<': { read: true },
  '>': { write: true, create: true, truncate: true },
  '>>': { write: true, create: true },
  '<>': { read: true, write: true, create: true },
};

/** A file of a disk, with the place in it that its descriptors share. */
class RegularFile extends OpenFile {
  readonly #files: FileSystem;
  readonly #inode: Inode;
  readonly #mode: Mode;
  #offset = 0;

  constructor(files: FileSystem, inode: Inode, mode: Mode) {
    super();
    this.#files = files;
    this.#inode = inode;
    this.#mode = mode;
    files.tree.hold(inode);
  }

  async read({ max = PIECE_BYTES }: ReadOptions): Promise<Buffer | undefined> {
    if (this.#mode === '>' || this.#mode === '>>') throw badDescriptor();
    const data = this.#inode.read(this.#offset, max);
    this.#offset += data.length;
    return data.length === 0 ? undefined : data;
  }

  async write(data: Uint8Array): Promise<void> {
    if (this.#mode === '<') throw badDescriptor();
    const at = this.#mode === '>>' ? this.#inode.size : this.#offset;
    this.#files.tree.write(this.#inode, at, data);
    this.#offset = at + data.length;
  }

  protected override close(): void {
    this.#files.tree.letGo(this.#inode);
  }
}

/** A device without a state of its own. */
class Device extends OpenFile {
  readonly #produce: (max: number) => Buffer | undefined;
  readonly #isFull: boolean;

  constructor(produce: (max: number) => Buffer | undefined, isFull = false) {
    super();
    this.#produce = produce;
    this.#isFull = isFull;
  }

  async read({ max = PIECE_BYTES }: ReadOptions): Promise<Buffer | undefined> {
    return this.#produce(max);
  }

  async write(): Promise<void> {
    if (this.#isFull) throw new DiskError('ENOSPC', 'the device is full');
  }
}

const DEVICES: Readonly<Record<string, () => OpenFile>> = {
  '/dev/null': () => new Device(() => undefined),
  '/dev/zero': () => new Device((max) => Buffer.alloc(max)),
  '/dev/full': () => new Device((max) => Buffer.alloc(max), true),
  '/dev/random': () => new Device((max) => randomBytes(max)),
  '/dev/urandom': () => new Device((max) => randomBytes(max)),
};

/** What nobody writes to and that is empty. */
export function emptyFile(): OpenFile {
  return new Device(() => undefined);
}

/** Bytes that are read as a file is. */
export function fileOf(data: Buffer): OpenFile {
  let rest = data;
  return new Device((max) => {
    if (rest.length === 0) return undefined;
    const piece = rest.subarray(0, max);
    rest = rest.subarray(max);
    return piece;
  });
}

/** Opens a file or a device of the guest, by its absolute path. Throws a `DiskError`. */
export function openFile(files: FileSystem, path: string, mode: Mode): OpenFile {
  const device = Object.hasOwn(DEVICES, path) ? DEVICES[path] : undefined;
  if (device !== undefined) return device();
  const inode = files.open(path, FLAGS[mode]);
  if (inode.kind === 'directory') throw new DiskError('EISDIR', `"${path}" is a folder`);
  return new RegularFile(files, inode, mode);
}
