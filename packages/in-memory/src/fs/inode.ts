/** What a path of the guest can name. */
export type FileKind = 'file' | 'directory' | 'symlink';

/** Owner and mode of a new inode. */
export interface Ownership {
  readonly uid: number;
  readonly gid: number;
  /** The twelve permission bits. */
  readonly mode: number;
}

/** Something that changes bytes or names of a disk was refused; `errno` is the guest's, such as `EROFS`. */
export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly errno: string;

  constructor(errno: string, message: string) {
    super(message);
    this.errno = errno;
  }
}

/** What an entry of a folder costs beside its name, so that empty files cannot fill the host's memory. */
const ENTRY_BYTES = 128;

export function entryCost(name: string): number {
  return ENTRY_BYTES + Buffer.byteLength(name);
}

/** The bytes that a disk may hold, and those that it holds. */
export class Quota {
  limitBytes = Infinity;
  #usedBytes = 0;

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Throws a `DiskError` `ENOSPC`. A negative number gives room back. */
  take(bytes: number): void {
    if (bytes > 0 && this.#usedBytes + bytes > this.limitBytes) {
      throw new DiskError('ENOSPC', `a disk in memory holds at most ${this.limitBytes} bytes`);
    }
    this.#usedBytes += bytes;
  }
}

/**
 * One file, folder or symbolic link. `links` counts its names, `opens` its open descriptions: the bytes of a
 * removed file are given back when both are 0.
 */
export class Inode {
  readonly number: number;
  readonly kind: FileKind;
  mode: number;
  uid: number;
  gid: number;
  /** Milliseconds since 1970. */
  mtimeMs: number;
  /** As it was set, or when it was made: reading does not change it. */
  atimeMs: number;
  /** When a name, an owner, a mode or the content changed last. */
  ctimeMs: number;
  readonly birthtimeMs: number;
  links = 0;
  opens = 0;
  /** Part of every guest's root disk, and unchanged: a disk's content does not list it. */
  isBase = false;
  /** The root of another file system: a disk's content does not list it. */
  isMount = false;
  /** What lies under a mount. */
  covered: Inode | undefined;
  /** Of a folder. */
  readonly entries: Map<string, Inode>;
  /** The folder in which it got its last name; of the root itself. */
  parent: Inode;
  /** Of a symbolic link. */
  readonly target: string;
  readonly #quota: Quota;
  #data = Buffer.alloc(0);
  #size = 0;
  #text: string | undefined;

  constructor(
    quota: Quota,
    facts: Ownership & {
      readonly number: number;
      readonly kind: FileKind;
      readonly mtimeMs: number;
      readonly target?: string;
    },
  ) {
    this.#quota = quota;
    this.number = facts.number;
    this.kind = facts.kind;
    this.mode = facts.mode;
    this.uid = facts.uid;
    this.gid = facts.gid;
    this.mtimeMs = facts.mtimeMs;
    this.atimeMs = facts.mtimeMs;
    this.ctimeMs = facts.mtimeMs;
    this.birthtimeMs = facts.mtimeMs;
    this.target = facts.target ?? '';
    this.entries = new Map();
    this.parent = this;
  }

  /** Bytes of a file or of a link's target; of a folder the number of its entries. */
  get size(): number {
    if (this.kind === 'symlink') return Buffer.byteLength(this.target);
    return this.kind === 'directory' ? this.entries.size : this.#size;
  }

  /** A copy. */
  read(offset: number, length: number): Buffer {
    return Buffer.from(this.#data.subarray(offset, Math.min(this.#size, offset + length)));
  }

  /**
   * All bytes, a character each. Kept until the next write: a disk is written down at each pause, and most
   * files have not changed since.
   */
  get text(): string {
    return (this.#text ??= this.#data.toString('latin1', 0, this.#size));
  }

  /** Throws a `DiskError` `ENOSPC`; then nothing is written. */
  write(offset: number, data: Uint8Array, nowMs: number): void {
    const end = offset + data.length;
    if (end > this.#size) this.#resize(end);
    this.#data.set(data, offset);
    this.#text = undefined;
    this.touch(nowMs);
  }

  truncate(size: number, nowMs: number): void {
    this.#resize(size);
    this.touch(nowMs);
  }

  touch(nowMs: number): void {
    this.mtimeMs = nowMs;
    this.ctimeMs = nowMs;
    this.isBase = false;
  }

  /** Its last name and its last description are gone. */
  free(): void {
    this.#quota.take(-this.#size);
    this.#size = 0;
    this.#data = Buffer.alloc(0);
    this.#text = undefined;
  }

  #resize(size: number): void {
    this.#quota.take(size - this.#size);
    if (size > this.#data.length) {
      // Room to grow, or many small writes would copy the file each time.
      const grown = Buffer.alloc(Math.max(size, Math.min(this.#data.length * 2, size + (1 << 20))));
      grown.set(this.#data.subarray(0, this.#size));
      this.#data = grown;
    } else if (size < this.#size) {
      this.#data.fill(0, size, this.#size);
    }
    this.#size = size;
    this.#text = undefined;
  }
}
