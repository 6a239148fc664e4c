import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ignoreMissing } from '@microvm/driver-kit';
import { copyFile } from '@microvm/native';

const UNUSED_MS = 7 * 86_400_000;

/**
 * Kernels, initrds and shared drives as jails get them: files that belong to root and that nobody may write, on the file system of the
 * jails, so that a hard link gives one to a VM at no cost. A file of the caller's comes in as a copy, once as long as it stays
 * the same file; its owner and mode are never touched.
 */
export class SharedFiles {
  readonly #folder: string;
  readonly #coming = new Map<string, Promise<string>>();

  constructor(stateDir: string) {
    this.#folder = join(stateDir, 'images');
  }

  /** Makes the folder and drops what no jail has had a link to for a week: a copy comes back when it is asked for. */
  async open(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const names = await readdir(this.#folder);
    await Promise.all(
      names.map(async (name) => {
        const path = join(this.#folder, name);
        // The time of the last change is that of the last link which was made or removed.
        const { nlink, ctimeMs } = await stat(path);
        if (nlink === 1 && Date.now() - ctimeMs > UNUSED_MS) await rm(path, { force: true });
      }),
    );
  }

  /** The path of the shared copy of a file. Rejects with the system's error. */
  async get(source: string): Promise<string> {
    const path = join(this.#folder, await identityOf(source));
    const coming = this.#coming.get(path) ?? this.#fetch(source, path);
    this.#coming.set(path, coming);
    try {
      return await coming;
    } finally {
      this.#coming.delete(path);
    }
  }

  async #fetch(source: string, path: string): Promise<string> {
    if ((await stat(path).catch(ignoreMissing)) !== undefined) return path;
    const partial = `${path}.partial`;
    await copyFile(source, partial, { sparse: true });
    await chmod(partial, 0o444);
    await rename(partial, path);
    return path;
  }
}

/** Names a version of a file: one that is written to, or replaced, has another. */
async function identityOf(source: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(source, { bigint: true });
  return createHash('sha256').update([dev, ino, size, mtimeNs, ctimeNs].join(' ')).digest('hex');
}
