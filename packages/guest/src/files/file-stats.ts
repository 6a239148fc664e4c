import { constants } from 'node:fs';
import type { FileEntry, FileStats } from '@microvm/runtime';
import { PayloadReader } from '../payload.js';
import { ProtocolError } from '../protocol.js';

const MS_PER_SECOND = 1_000;
const NS_PER_MS = 1_000_000;
const NS_PER_SECOND = 1_000_000_000;

/** The kinds of files by the bits of a mode. */
abstract class FileKinds {
  protected abstract kind(): number;

  isFile(): boolean {
    return this.kind() === constants.S_IFREG;
  }

  isDirectory(): boolean {
    return this.kind() === constants.S_IFDIR;
  }

  isSymbolicLink(): boolean {
    return this.kind() === constants.S_IFLNK;
  }

  isBlockDevice(): boolean {
    return this.kind() === constants.S_IFBLK;
  }

  isCharacterDevice(): boolean {
    return this.kind() === constants.S_IFCHR;
  }

  isFIFO(): boolean {
    return this.kind() === constants.S_IFIFO;
  }

  isSocket(): boolean {
    return this.kind() === constants.S_IFSOCK;
  }
}

type StatNumbers = {
  readonly [K in keyof FileStats as FileStats[K] extends number ? K : never]: number;
};

class GuestFileStats extends FileKinds implements FileStats {
  declare readonly dev: number;
  declare readonly ino: number;
  declare readonly mode: number;
  declare readonly nlink: number;
  declare readonly uid: number;
  declare readonly gid: number;
  declare readonly rdev: number;
  declare readonly size: number;
  declare readonly blksize: number;
  declare readonly blocks: number;
  declare readonly atimeMs: number;
  declare readonly mtimeMs: number;
  declare readonly ctimeMs: number;
  declare readonly birthtimeMs: number;

  constructor(numbers: StatNumbers) {
    super();
    Object.assign(this, numbers);
  }

  get atime(): Date {
    return new Date(Math.round(this.atimeMs));
  }

  get mtime(): Date {
    return new Date(Math.round(this.mtimeMs));
  }

  get ctime(): Date {
    return new Date(Math.round(this.ctimeMs));
  }

  get birthtime(): Date {
    return new Date(Math.round(this.birthtimeMs));
  }

  protected override kind(): number {
    return this.mode & constants.S_IFMT;
  }
}

function readTime(input: PayloadReader): number {
  const seconds = BigInt.asIntN(64, input.u64());
  const nanoseconds = input.u32();
  if (nanoseconds >= NS_PER_SECOND) throw new ProtocolError('nanoseconds out of range');
  return Number(seconds) * MS_PER_SECOND + nanoseconds / NS_PER_MS;
}

/** What the wire calls _stats_. */
export function decodeStats(body: Buffer): FileStats {
  const input = new PayloadReader(body);
  const number = (): number => Number(input.u64());
  const stats = new GuestFileStats({
    dev: number(),
    ino: number(),
    mode: input.u32(),
    nlink: number(),
    uid: input.u32(),
    gid: input.u32(),
    rdev: number(),
    size: number(),
    blksize: number(),
    blocks: number(),
    atimeMs: readTime(input),
    mtimeMs: readTime(input),
    ctimeMs: readTime(input),
    birthtimeMs: readTime(input),
  });
  input.end();
  return stats;
}

/** DT_* of readdir(3) is the kind in a mode, twelve bits lower. */
const KIND_SHIFT = 12;

export class GuestFileEntry<Name extends string | Buffer> extends FileKinds implements FileEntry<Name> {
  readonly name: Name;
  readonly parentPath: Name;
  readonly #type: number;

  constructor(name: Name, parentPath: Name, type: number) {
    super();
    this.name = name;
    this.parentPath = parentPath;
    this.#type = type;
  }

  protected override kind(): number {
    return this.#type << KIND_SHIFT;
  }
}
