import { absolute, type FileSystem } from '../fs/file-system.js';
import { DiskError, type Inode } from '../fs/inode.js';

/** Of open(2) on Linux. */
const [ACCESS, CREATE, EXCLUSIVE, TRUNCATE, APPEND] = [0o3, 0o100, 0o200, 0o1000, 0o2000];
const [DIRECTORY, NO_FOLLOW] = [0o200000, 0o400000];

/** A file that is open in a worker, with the place where it stands. */
export interface OpenedFile {
  readonly inode: Inode;
  readonly mayRead: boolean;
  readonly mayWrite: boolean;
  readonly isAppended: boolean;
  offset: number;
}

/** Opens a file as open(2) does. Throws a `DiskError`. The caller lets go of the inode. */
export function openWithFlags(files: FileSystem, path: string, flags: number, mode: number): OpenedFile {
  const full = absolute('/', path);
  const access = flags & ACCESS;
  if ((flags & NO_FOLLOW) !== 0 && files.locate(full, false).inode?.kind === 'symlink') {
    throw new DiskError('ELOOP', path);
  }
  const [mayRead, mayWrite] = [access !== 1, access !== 0];
  const inode = files.open(full, {
    read: mayRead,
    write: mayWrite,
    create: (flags & CREATE) !== 0,
    exclusive: (flags & (CREATE | EXCLUSIVE)) === (CREATE | EXCLUSIVE),
    truncate: (flags & TRUNCATE) !== 0 && mayWrite,
    mode: mode & 0o7777,
  });
  if ((flags & DIRECTORY) !== 0 && inode.kind !== 'directory') throw new DiskError('ENOTDIR', path);
  files.tree.hold(inode);
  return { inode, mayRead, mayWrite, isAppended: (flags & APPEND) !== 0, offset: 0 };
}

/** Throws a `DiskError`. `position` undefined: where the file stands. */
export function readFrom(file: OpenedFile, bytes: number, position: number | undefined): Buffer {
  if (!file.mayRead) throw new DiskError('EBADF', 'the file is not open for reading');
  if (file.inode.kind === 'directory') throw new DiskError('EISDIR', 'a folder is not read');
  const data = file.inode.read(position ?? file.offset, bytes);
  if (position === undefined) file.offset += data.length;
  return data;
}

export function writeTo(
  files: FileSystem,
  file: OpenedFile,
  data: Buffer,
  position: number | undefined,
): void {
  if (!file.mayWrite) throw new DiskError('EBADF', 'the file is not open for writing');
  const at = file.isAppended ? file.inode.size : (position ?? file.offset);
  files.tree.write(file.inode, at, data);
  if (position === undefined || file.isAppended) file.offset = at + data.length;
}
