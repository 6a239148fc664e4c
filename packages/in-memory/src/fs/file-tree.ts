import { DiskError, entryCost, Inode, Quota, type FileKind, type Ownership } from './inode.js';

const MAX_NAME_BYTES = 255;

/** Folder and name that a path leads to, and what is there. */
export interface Place {
  readonly folder: Inode;
  readonly name: string;
  readonly inode: Inode | undefined;
}

/** A name has come or gone, or what is there has changed. */
export interface TreeEvent {
  readonly kind: 'name' | 'content';
  readonly folder: Inode;
  readonly name: string;
  readonly inode: Inode;
}

/** The inodes of one disk. Every change goes through here: it is counted, and refused on a read-only disk. */
export class FileTree {
  readonly quota = new Quota();
  /** Told of each change. */
  readonly watchers = new Set<(event: TreeEvent) => void>();
  readonly root: Inode;
  /** Milliseconds since 1970, of the guest. */
  readonly now: () => number;
  #isReadOnly = false;
  #lastNumber = 1;
  #version = 0;

  /** It can be filled without limit until `seal`. */
  constructor(now: () => number) {
    this.now = now;
    const facts = { number: 1, kind: 'directory', mode: 0o755, uid: 0, gid: 0, mtimeMs: 0 } as const;
    this.root = new Inode(this.quota, facts);
    this.root.links = 1;
    this.root.isBase = true;
  }

  get isReadOnly(): boolean {
    return this.#isReadOnly;
  }

  /** What it holds is there: from here on changes count, within the limit or not at all. */
  seal(options: { readonly limitBytes: number; readonly isReadOnly: boolean }): void {
    this.quota.limitBytes = options.limitBytes;
    this.#isReadOnly = options.isReadOnly;
    this.#version = 0;
  }

  /** Rises with each change. */
  get version(): number {
    return this.#version;
  }

  /** Throws a `DiskError`: `EROFS`, `EEXIST`, `ENAMETOOLONG`, `ENOSPC`. */
  make(at: Place, kind: FileKind, own: Ownership, target?: string): Inode {
    if (at.inode !== undefined) throw new DiskError('EEXIST', `"${at.name}" is there`);
    const facts = { ...own, kind, number: (this.#lastNumber += 1), mtimeMs: this.now() };
    const inode = new Inode(this.quota, target === undefined ? facts : { ...facts, target });
    this.link(at, inode);
    return inode;
  }

  /** Gives an inode another name. Throws as `make` does. */
  link({ folder, name }: Place, inode: Inode): void {
    this.change();
    checkName(name);
    this.quota.take(entryCost(name));
    folder.entries.set(name, inode);
    folder.touch(this.now());
    inode.links += 1;
    inode.parent = folder;
    this.#tell({ kind: 'name', folder, name, inode });
  }

  /** Takes a name away, and the inode with its last name. */
  unlink({ folder, name, inode }: Place): void {
    if (inode === undefined) throw new DiskError('ENOENT', `there is no "${name}"`);
    this.change();
    folder.entries.delete(name);
    folder.touch(this.now());
    this.quota.take(-entryCost(name));
    inode.links -= 1;
    this.#freeUnused(inode);
    this.#tell({ kind: 'name', folder, name, inode });
  }

  /** Gives the inode of `from` the name `to` instead; what had that name is gone. Throws before a change. */
  rename(from: Place, to: Place): void {
    const { inode } = from;
    if (inode === undefined) throw new DiskError('ENOENT', `there is no "${from.name}"`);
    this.change();
    checkName(to.name);
    this.quota.take(entryCost(to.name) - entryCost(from.name));
    from.folder.entries.delete(from.name);
    to.folder.entries.set(to.name, inode);
    inode.parent = to.folder;
    for (const { folder } of [from, to]) folder.touch(this.now());
    inode.isBase = false;
    if (to.inode !== undefined) {
      this.quota.take(-entryCost(to.name));
      to.inode.links -= 1;
      this.#freeUnused(to.inode);
    }
    for (const { folder, name } of [from, to]) this.#tell({ kind: 'name', folder, name, inode });
  }

  /** Throws a `DiskError` `ENOSPC` or `EROFS`. */
  write(inode: Inode, offset: number, data: Uint8Array): void {
    this.change();
    inode.write(offset, data, this.now());
    this.#tellOfContent(inode);
  }

  truncate(inode: Inode, size: number): void {
    this.change();
    inode.truncate(size, this.now());
    this.#tellOfContent(inode);
  }

  /** Changes who owns it, its mode or its time. */
  setFacts(
    inode: Inode,
    facts: Partial<Ownership & { readonly mtimeMs: number; readonly atimeMs: number }>,
  ): void {
    this.change();
    Object.assign(inode, facts, { isBase: false, ctimeMs: this.now() });
    this.#tellOfContent(inode);
  }

  hold(inode: Inode): void {
    inode.opens += 1;
  }

  letGo(inode: Inode): void {
    inode.opens -= 1;
    this.#freeUnused(inode);
  }

  /** Counts a change, or refuses it. */
  change(): void {
    if (this.#isReadOnly) throw new DiskError('EROFS', 'the disk is read-only');
    this.#version += 1;
  }

  #tell(event: TreeEvent): void {
    for (const watcher of [...this.watchers]) watcher(event);
  }

  /** By the name that it got last. */
  #tellOfContent(inode: Inode): void {
    if (this.watchers.size === 0) return;
    const folder = inode.parent;
    const name = [...folder.entries].find(([, entry]) => entry === inode)?.[0];
    if (name !== undefined || inode === folder)
      this.#tell({ kind: 'content', folder, name: name ?? '', inode });
  }

  #freeUnused(inode: Inode): void {
    if (inode.links === 0 && inode.opens === 0) inode.free();
  }
}

function checkName(name: string): void {
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw new DiskError('ENAMETOOLONG', `"${name}" is too long`);
}
