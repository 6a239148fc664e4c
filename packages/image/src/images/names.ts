import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { removeDurable, writeDurable } from '@microvm/native';
import { VmRuntimeError } from '@microvm/runtime';
import { z } from 'zod';
import { sha256 } from '../content/file-digest.js';
import { readJsonIfSound } from '../host/read-json.js';
import { hasCode, ignoreAbsent } from '../host/system-error.js';

const nameSchema = z.strictObject({
  name: z.string(),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  /** ISO 8601 in UTC. */
  since: z.string(),
});
export type ImageName = z.infer<typeof nameSchema>;

const FILE = /^[0-9a-f]{64}\.json$/;

/**
 * Names of images, a file each, so that a name moves in one step and no two names get in each other's way.
 * A name may have characters that a file's name may not, so that the file is named by the name's digest.
 */
export class ImageNames {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async get(name: string): Promise<ImageName | undefined> {
    return readJsonIfSound(this.#path(name), nameSchema);
  }

  /** Survives a power cut when it resolves; a crash leaves the old or the new meaning of the name. */
  async set(name: string, digest: string): Promise<void> {
    const value: ImageName = { name, digest, since: new Date().toISOString() };
    await writeDurable(this.#path(name), JSON.stringify(value));
  }

  /** False when there was no such name. */
  async remove(name: string): Promise<boolean> {
    try {
      await removeDurable(this.#path(name));
      return true;
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false;
      throw error;
    }
  }

  /**
   * Sorted by name.
   *
   * @throws MICROVM_STATE_CORRUPT for a name that cannot be read: what it stood for must not be removed
   */
  async list(): Promise<ImageName[]> {
    const files = (await readdir(this.#folder)).filter((file) => FILE.test(file));
    const names = await Promise.all(files.map((file) => this.#read(join(this.#folder, file))));
    return names
      .filter((name) => name !== undefined)
      .toSorted((a, b) => (a.name < b.name ? -1 : a.name === b.name ? 0 : 1));
  }

  /** Undefined for a name that was given up since the folder was read. */
  async #read(path: string): Promise<ImageName | undefined> {
    const name = await readJsonIfSound(path, nameSchema);
    if (name !== undefined) return name;
    if ((await stat(path).catch(ignoreAbsent)) === undefined) return undefined;
    throw new VmRuntimeError('MICROVM_STATE_CORRUPT', `"${path}" holds no name of an image`, {
      details: { path, problem: 'it is not what was written' },
      remedy: `remove "${path}", then import or pull its image again`,
    });
  }

  #path(name: string): string {
    return join(this.#folder, `${sha256(name)}.json`);
  }
}
