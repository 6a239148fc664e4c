import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DirectoryLock } from '@microvm/native';
import { tryLock } from './store-lock.js';

/** A folder for what is half made, which belongs to one call until it lets go. */
export interface WorkFolder {
  readonly path: string;
  /** Removes the folder with all that is in it. Idempotent. */
  release(): Promise<void>;
}

type UnderLock = <T>(work: () => Promise<T>) => Promise<T>;

/**
 * Folders of work in progress. Each is locked while its call lives, so that what a killed process left is
 * known at once. Folders come and go under the store's lock: nobody can lock a folder that is being removed.
 */
export class WorkFolders {
  readonly #root: string;
  readonly #underLock: UnderLock;

  constructor(root: string, underLock: UnderLock) {
    this.#root = root;
    this.#underLock = underLock;
  }

  /** The folder of that name, empty; undefined while another call has it. */
  async claim(name: string): Promise<WorkFolder | undefined> {
    const path = join(this.#root, name);
    const lock = await this.#underLock(async () => {
      await mkdir(path, { recursive: true });
      const taken = await tryLock(path);
      if (taken === undefined) return undefined;
      try {
        await removeContent(path);
      } catch (error) {
        taken.release();
        throw error;
      }
      return taken;
    });
    return lock === undefined ? undefined : this.#workFolder(path, lock);
  }

  /** Removes the folders of dead processes. Under the store's lock; answers their names. */
  async sweep(): Promise<string[]> {
    const swept: string[] = [];
    for (const name of await readdir(this.#root)) {
      const path = join(this.#root, name);
      const lock = await tryLock(path);
      if (lock === undefined) continue;
      try {
        await rm(path, { recursive: true, force: true });
      } finally {
        lock.release();
      }
      swept.push(join('work', name));
    }
    return swept;
  }

  #workFolder(path: string, lock: DirectoryLock): WorkFolder {
    let released: Promise<void> | undefined;
    const release = (): Promise<void> =>
      this.#underLock(async () => {
        // What cannot be removed is swept later: nobody waits for a folder that no call works in.
        try {
          await rm(path, { recursive: true, force: true });
        } finally {
          lock.release();
        }
      });
    return { path, release: () => (released ??= release()) };
  }
}

async function removeContent(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name !== 'lock') await rm(join(folder, name), { recursive: true, force: true });
  }
}
