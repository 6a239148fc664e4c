import { join } from '../fs/file-system.js';
import { DiskError, type Inode } from '../fs/inode.js';
import type { Process } from '../process/process.js';

/** Copies a file, or a folder with all that is in it. Throws a `DiskError`. */
export async function copyTree(
  process: Process,
  what: {
    readonly from: string;
    readonly to: string;
    readonly isRecursive: boolean;
    readonly keepsFacts: boolean;
  },
): Promise<void> {
  const { files } = process;
  const { from, to, isRecursive, keepsFacts } = what;
  await process.system.breathe(process.signal);
  const inode = isRecursive ? files.lstat(from) : files.stat(from);
  if (inode.kind === 'directory') {
    if (!isRecursive) throw new DiskError('EISDIR', from);
    if (`${files.realpath(to.replace(/[^/]+\/*$/, '') || '/')}/`.startsWith(`${files.realpath(from)}/`)) {
      throw new DiskError('EINVAL', `"${to}" lies in "${from}"`);
    }
    if (files.find(to)?.kind !== 'directory') files.mkdir(to, inode.mode);
    for (const name of files.readdir(from)) {
      await copyTree(process, { ...what, from: join(from, name), to: join(to, name) });
    }
  } else if (inode.kind === 'symlink') {
    if (files.locate(to, false).inode !== undefined) files.unlink(to);
    files.symlink(inode.target, to);
  } else {
    if (files.find(to) === inode) throw new DiskError('EEXIST', to);
    files.writeFile(to, files.readFile(from), inode.mode & 0o777 & ~0o022);
  }
  if (keepsFacts && inode.kind !== 'symlink') keep(process, inode, to);
}

function keep({ files }: Process, inode: Inode, to: string): void {
  files.chmod(to, inode.mode);
  if (files.user.uid === 0) files.chown(to, { uid: inode.uid, gid: inode.gid });
  files.utimes(to, inode.mtimeMs);
}
