import { execFile } from 'node:child_process';
import { truncate, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/**
 * How each file system is made, and mounted again after a cut. Everything else is as the distribution has it.
 */
export const FILE_SYSTEMS = {
  // Inode tables and journal at once: a kernel thread that fills them later would add its own writes.
  ext4: { mkfs: ['mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0'], mount: [] },
  // The dead mount of before may not be gone yet, and has the same id.
  xfs: { mkfs: ['mkfs.xfs', '-q', '-m', 'reflink=1'], mount: ['-o', 'nouuid'] },
} as const;

export type FileSystem = keyof typeof FILE_SYSTEMS;

/** Makes a file system in a new sparse file at `path`. XFS needs 300 MiB. */
export async function formatImage(fileSystem: FileSystem, path: string, sizeMib: number): Promise<void> {
  await writeFile(path, '', { flag: 'wx' });
  await truncate(path, sizeMib * 2 ** 20);
  const [program, ...options] = FILE_SYSTEMS[fileSystem].mkfs;
  await promisify(execFile)(program, [...options, path]);
}
