import { execFile } from 'node:child_process';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { MIB } from '@microvm/runtime';
import { TemporaryFolder } from './temporary-folder.js';

const run = promisify(execFile);

/** How each file system is made. XFS has reflinks. */
const MKFS = {
  xfs: ['mkfs.xfs', '-q', '-m', 'reflink=1'],
  ext4: ['mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0'],
} as const;

export type FileSystem = keyof typeof MKFS;

/**
 * A new file system in a file, mounted by a loop device: needs root. It is removed at the end of an `await
 * using` block.
 */
export class LoopMount implements AsyncDisposable {
  readonly path: string;
  readonly #folder: TemporaryFolder;

  private constructor(path: string, folder: TemporaryFolder) {
    this.path = path;
    this.#folder = folder;
  }

  static async make(fileSystem: FileSystem, sizeMib: number): Promise<LoopMount> {
    const folder = await TemporaryFolder.make();
    const [image, path] = [join(folder.path, 'image'), join(folder.path, 'mount')];
    try {
      await mkdir(path);
      await using file = await open(image, 'wx');
      await file.truncate(sizeMib * MIB);
      const [program, ...options] = MKFS[fileSystem];
      await run(program, [...options, image]);
      await run('mount', ['-o', 'loop', image, path]);
      return new LoopMount(path, folder);
    } catch (error) {
      await folder[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run('umount', [this.path]);
    await this.#folder[Symbol.asyncDispose]();
  }
}
