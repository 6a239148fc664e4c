import { DiskError, type FileKind, type Inode } from './inode.js';
import type { FileTree, Place } from './file-tree.js';

/** As Linux has it. */
const MAX_LINKS = 40;
const MAX_PATH_BYTES = 4_095;
const MAX_NAME_BYTES = 255;

const [READ, WRITE, ENTER] = [4, 2, 1];

/** Who acts on files. */
export interface Credentials {
  readonly uid: number;
  readonly gid: number;
}

const ROOT: Credentials = { uid: 0, gid: 0 };

export interface OpenFlags {
  readonly read?: boolean;
  readonly write?: boolean;
  readonly create?: boolean;
  readonly exclusive?: boolean;
  readonly truncate?: boolean;
  /** Mode of a file that is created, less the umask; 0o666 by default. */
  readonly mode?: number;
}

/**
 * The files of a disk as one user sees them. All paths are absolute. Everything throws a `DiskError` whose
 * `errno` is Linux's for the same mistake.
 */
export class FileSystem {
  readonly tree: FileTree;
  readonly user: Credentials;
  /** Permission bits that nothing new has. */
  readonly umask: number;

  constructor(tree: FileTree, user: Credentials = ROOT, umask = 0o022) {
    this.tree = tree;
    this.user = user;
    this.umask = umask;
  }

  as(user: Credentials, umask = this.umask): FileSystem {
    return new FileSystem(this.tree, user, umask);
  }

  /** What a path names; a symbolic link at its end is followed. */
  stat(path: string): Inode {
    return this.#existing(this.locate(path), path);
  }

  /** As `stat`, but a symbolic link at the end is itself what is named. */
  lstat(path: string): Inode {
    return this.#existing(this.locate(path, false), path);
  }

  /** Undefined where nothing is, or where the user may not look. */
  find(path: string): Inode | undefined {
    try {
      return this.locate(path).inode;
    } catch (error) {
      if (error instanceof DiskError) return undefined;
      throw error;
    }
  }

  /** Where a path leads, a link at its end not followed; undefined where it cannot be told. */
  locateQuietly(path: string): Place | undefined {
    try {
      return this.locate(path, false);
    } catch (error) {
      if (error instanceof DiskError) return undefined;
      throw error;
    }
  }

  mayRead(inode: Inode): boolean {
    return this.#may(inode, READ);
  }

  mayWrite(inode: Inode): boolean {
    return this.#may(inode, WRITE);
  }

  /** Root may execute only what somebody may. */
  mayExecute(inode: Inode): boolean {
    return (inode.kind === 'directory' || (inode.mode & 0o111) !== 0) && this.#may(inode, ENTER);
  }

  readFile(path: string): Buffer {
    const inode = this.open(path, { read: true });
    if (inode.kind === 'directory') throw new DiskError('EISDIR', `"${path}" is a folder`);
    return inode.read(0, inode.size);
  }

  writeFile(path: string, data: string | Uint8Array, mode?: number): Inode {
    const flags = { write: true, create: true, truncate: true, ...(mode === undefined ? {} : { mode }) };
    const inode = this.open(path, flags);
    this.tree.write(inode, 0, Buffer.from(data));
    return inode;
  }

  /** The file of a path, made where the flags say so. */
  open(path: string, flags: OpenFlags): Inode {
    const place = this.locate(path, flags.exclusive !== true);
    const { inode } = place;
    if (inode === undefined) {
      if (flags.create !== true) throw new DiskError('ENOENT', `there is no "${path}"`);
      if (path.endsWith('/')) throw new DiskError('EISDIR', `"${path}" is a folder's path`);
      return this.#make(place, 'file', flags.mode ?? 0o666);
    }
    if (flags.exclusive === true) throw new DiskError('EEXIST', `"${path}" is there`);
    if (inode.kind === 'directory' && flags.write === true)
      throw new DiskError('EISDIR', `"${path}" is a folder`);
    if (flags.write === true) this.#insist(inode, WRITE, path);
    if (flags.read === true) this.#insist(inode, READ, path);
    if (flags.write === true && this.tree.isReadOnly) this.tree.change();
    if (flags.truncate === true) this.tree.truncate(inode, 0);
    return inode;
  }

  /** Names in the order of their bytes. */
  readdir(path: string): string[] {
    const inode = this.stat(path);
    if (inode.kind !== 'directory') throw new DiskError('ENOTDIR', `"${path}" is no folder`);
    this.#insist(inode, READ, path);
    return [...inode.entries.keys()].sort(byBytes);
  }

  mkdir(path: string, mode = 0o777): Inode {
    return this.#make(this.locate(path, false), 'directory', mode);
  }

  /** Makes the folders that are missing. */
  mkdirAll(path: string, mode = 0o777): void {
    let made = '';
    for (const part of path.split('/').filter(Boolean)) {
      made += `/${part}`;
      const { inode } = this.locate(made);
      if (inode === undefined) this.mkdir(made, mode);
      else if (inode.kind !== 'directory') throw new DiskError('ENOTDIR', `"${made}" is no folder`);
    }
  }

  symlink(target: string, path: string): Inode {
    if (path.endsWith('/')) throw new DiskError('ENOENT', `there is no "${path}"`);
    return this.#make(this.locate(path, false), 'symlink', 0o777, target);
  }

  readlink(path: string): string {
    const inode = this.lstat(path);
    if (inode.kind !== 'symlink') throw new DiskError('EINVAL', `"${path}" is no link`);
    return inode.target;
  }

  link(path: string, newPath: string): void {
    const inode = this.lstat(path);
    const place = this.locate(newPath, false);
    if (place.inode !== undefined) throw new DiskError('EEXIST', `"${newPath}" is there`);
    if (inode.kind === 'directory') throw new DiskError('EPERM', `"${path}" is a folder`);
    this.#insist(place.folder, WRITE | ENTER, newPath);
    this.tree.link(place, inode);
  }

  unlink(path: string): void {
    const place = this.locate(path, false);
    const inode = this.#existing(place, path);
    if (inode.kind === 'directory') throw new DiskError('EISDIR', `"${path}" is a folder`);
    this.#insistRemovable(place, path);
    this.tree.unlink(place);
  }

  rmdir(path: string): void {
    const place = this.locate(path, false);
    const inode = this.#existing(place, path);
    if (inode.kind !== 'directory') throw new DiskError('ENOTDIR', `"${path}" is no folder`);
    if (place.name === '') throw new DiskError('EBUSY', `"${path}" is the root`);
    if (inode.entries.size > 0) throw new DiskError('ENOTEMPTY', `"${path}" is not empty`);
    this.#insistRemovable(place, path);
    this.tree.unlink(place);
  }

  /** Removes a folder with all that is in it, or a file. */
  removeAll(path: string): void {
    const inode = this.lstat(path);
    if (inode.kind !== 'directory') {
      this.unlink(path);
      return;
    }
    for (const name of this.readdir(path)) this.removeAll(join(path, name));
    this.rmdir(path);
  }

  rename(path: string, newPath: string): void {
    const from = this.locate(path, false);
    const to = this.locate(newPath, false);
    const inode = this.#existing(from, path);
    if (to.inode === inode) return;
    if (inode.kind !== 'directory' && newPath.endsWith('/')) {
      throw new DiskError('ENOTDIR', `"${path}" is no folder`);
    }
    if (from.name === '' || to.name === '') throw new DiskError('EBUSY', 'the root is not renamed');
    if (isAbove(inode, to.folder)) throw new DiskError('EINVAL', `"${newPath}" lies in "${path}"`);
    if (to.inode !== undefined && isAbove(to.inode, from.folder)) {
      throw new DiskError('ENOTEMPTY', `"${path}" lies in "${newPath}"`);
    }
    this.#insistRemovable(from, path);
    this.#insist(to.folder, WRITE | ENTER, newPath);
    if (to.inode !== undefined) this.#insistReplaceable(inode, to, newPath);
    this.tree.rename(from, to);
  }

  chmod(path: string, mode: number): void {
    const inode = this.stat(path);
    this.#insistOwner(inode, path);
    this.tree.setFacts(inode, { mode: mode & 0o7777 });
  }

  /** Undefined leaves it as it is. */
  chown(path: string, owner: { readonly uid?: number; readonly gid?: number }, follow = true): void {
    const inode = follow ? this.stat(path) : this.lstat(path);
    if (this.user.uid !== 0) throw new DiskError('EPERM', `"${path}" is not given away`);
    this.tree.setFacts(inode, owner);
  }

  utimes(path: string, mtimeMs: number, { atimeMs = mtimeMs, follow = true } = {}): void {
    const inode = follow ? this.stat(path) : this.lstat(path);
    if (!this.mayWrite(inode)) this.#insistOwner(inode, path);
    this.tree.setFacts(inode, { mtimeMs, atimeMs });
  }

  truncate(path: string, size: number): void {
    this.tree.truncate(this.open(path, { write: true }), size);
  }

  /** The path without links, `.` and `..`. */
  realpath(path: string): string {
    const place = this.locate(path);
    this.#existing(place, path);
    let real = place.name === '' ? '' : `/${place.name}`;
    for (let { folder } = place; folder !== folder.parent; folder = folder.parent) {
      const name = [...folder.parent.entries].find(([, inode]) => inode === folder)?.[0] ?? '';
      real = `/${name}${real}`;
    }
    return real === '' ? '/' : real;
  }

  /** Where a path leads. The root's own name is empty. */
  locate(path: string, follow = true): Place {
    if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw new DiskError('ENAMETOOLONG', 'the path is too long');
    if (path === '') throw new DiskError('ENOENT', 'an empty path');
    const isFolderPath = path.endsWith('/');
    let links = 0;
    let folder = this.tree.root;
    const rest = path.split('/').reverse();
    for (;;) {
      const name = rest.pop();
      const isLast = rest.every((part) => part === '' || part === '.');
      if (name === undefined) return placeOf(folder);
      if (name === '' || name === '.') continue;
      if (folder.kind !== 'directory') throw new DiskError('ENOTDIR', `a part of "${path}" is no folder`);
      this.#insist(folder, ENTER, path);
      if (name === '..') {
        folder = folder.parent;
        continue;
      }
      if (name.length > MAX_NAME_BYTES || Buffer.byteLength(name) > MAX_NAME_BYTES) {
        throw new DiskError('ENAMETOOLONG', `a name of "${path}" is too long`);
      }
      const inode = folder.entries.get(name);
      if (inode?.kind === 'symlink' && (follow || isFolderPath || !isLast)) {
        if ((links += 1) > MAX_LINKS) throw new DiskError('ELOOP', `"${path}" has too many links`);
        rest.push(...inode.target.split('/').reverse());
        if (inode.target.startsWith('/')) folder = this.tree.root;
        continue;
      }
      if (isLast && inode?.kind !== 'directory') {
        if (inode !== undefined && isFolderPath) throw new DiskError('ENOTDIR', `"${path}" is no folder`);
        return { folder, name, inode };
      }
      if (inode === undefined) throw new DiskError('ENOENT', `there is no "${path}"`);
      folder = inode;
    }
  }

  #make(place: Place, kind: FileKind, mode: number, target?: string): Inode {
    if (place.inode !== undefined) throw new DiskError('EEXIST', `"${place.name}" is there`);
    this.#insist(place.folder, WRITE | ENTER, place.name);
    const { uid, gid } = this.user;
    const own = kind === 'symlink' ? mode : mode & ~this.umask;
    return this.tree.make(place, kind, { uid, gid, mode: own }, target);
  }

  #existing({ inode }: Place, path: string): Inode {
    if (inode === undefined) throw new DiskError('ENOENT', `there is no "${path}"`);
    return inode;
  }

  #may(inode: Inode, access: number): boolean {
    if (this.user.uid === 0) return true;
    const isOwner = inode.uid === this.user.uid;
    const shift = isOwner ? 6 : inode.gid === this.user.gid ? 3 : 0;
    return ((inode.mode >> shift) & access) === access;
  }

  #insist(inode: Inode, access: number, path: string): void {
    if (!this.#may(inode, access)) throw new DiskError('EACCES', `"${path}" is not allowed`);
  }

  #insistOwner(inode: Inode, path: string): void {
    const { uid } = this.user;
    if (uid !== 0 && uid !== inode.uid) throw new DiskError('EPERM', `"${path}" is somebody else's`);
  }

  #insistRemovable({ folder, inode }: Place, path: string): void {
    this.#insist(folder, WRITE | ENTER, path);
    const { uid } = this.user;
    const isSticky = (folder.mode & 0o1000) !== 0;
    if (isSticky && uid !== 0 && uid !== folder.uid && uid !== inode?.uid) {
      throw new DiskError('EPERM', `"${path}" is somebody else's`);
    }
  }

  #insistReplaceable(inode: Inode, { inode: old }: Place, path: string): void {
    const isFolder = inode.kind === 'directory';
    if (old?.kind === 'directory') {
      if (!isFolder) throw new DiskError('EISDIR', `"${path}" is a folder`);
      if (old.entries.size > 0) throw new DiskError('ENOTEMPTY', `"${path}" is not empty`);
    } else if (isFolder) {
      throw new DiskError('ENOTDIR', `"${path}" is no folder`);
    }
  }
}

function placeOf(folder: Inode): Place {
  if (folder.parent === folder) return { folder, name: '', inode: folder };
  const name = [...folder.parent.entries].find(([, inode]) => inode === folder)?.[0] ?? '';
  return { folder: folder.parent, name, inode: folder };
}

function isAbove(inode: Inode, folder: Inode): boolean {
  for (let above = folder; above !== above.parent; above = above.parent) if (above === inode) return true;
  return false;
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** A path in a folder. */
export function join(folder: string, name: string): string {
  return folder.endsWith('/') ? `${folder}${name}` : `${folder}/${name}`;
}

/** A path as a process in this folder means it. */
export function absolute(cwd: string, path: string): string {
  return path.startsWith('/') || path === '' ? path : join(cwd, path);
}

/** The last name of a path. */
export function basenameOf(path: string): string {
  const trimmed = path.replace(/(?<=.)\/+$/, '');
  return trimmed.slice(trimmed.lastIndexOf('/') + 1) || '/';
}
