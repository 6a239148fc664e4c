import { execFile } from 'node:child_process';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { TemporaryFolder } from './temporary-folder.js';

const run = promisify(execFile);

/** XFS with reflinks in a file, by a loop device: needs root. Goes at the end of an `await using` block. */
export class XfsMount implements AsyncDisposable {
  readonly path: string;
  readonly #folder: TemporaryFolder;

  private constructor(path: string, folder: TemporaryFolder) {
    this.path = path;
    this.#folder = folder;
  }

  static async make(sizeMib: number): Promise<XfsMount> {
    const folder = await TemporaryFolder.make();
    const [image, path] = [join(folder.path, 'image'), join(folder.path, 'xfs')];
    try {
      await mkdir(path);
      await using file = await open(image, 'wx');
      await file.truncate(sizeMib * 2 ** 20);
      await run('mkfs.xfs', ['-q', '-m', 'reflink=1', image]);
      await run('mount', ['-o', 'loop', image, path]);
      return new XfsMount(path, folder);
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
