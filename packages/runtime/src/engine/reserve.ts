import { randomBytes } from 'node:crypto';
import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB } from '../contract/units.js';
import { isNoSpace } from './translate-error.js';

const FILE = '.reserve';
// Some hundred records at once.
const BYTES = MIB;

/**
 * Room that is kept on the file system of a state directory: who wants to free space on a full one must write
 * records first.
 */
export class Reserve {
  readonly #path: string;
  #isThere = false;
  #filling: Promise<void> | undefined;

  private constructor(root: string) {
    this.#path = join(root, FILE);
  }

  static async open(root: string): Promise<Reserve> {
    const reserve = new Reserve(root);
    const size = await stat(reserve.#path).then(
      (found) => found.size,
      () => 0,
    );
    reserve.#isThere = size === BYTES;
    await reserve.refill();
    return reserve;
  }

  /** Makes a small write, and once more, in the room that was kept, where there is no other. */
  async lend(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      await this.#release();
      await write();
    }
  }

  /** Keeps room again, where it was used up; without effect on a file system that is still full. */
  async refill(): Promise<void> {
    if (this.#isThere) return;
    this.#filling ??= this.#fill().finally(() => (this.#filling = undefined));
    await this.#filling;
  }

  async #fill(): Promise<void> {
    try {
      // Not zeros, which a file system may keep without room for them.
      await writeFile(this.#path, randomBytes(BYTES), { mode: 0o600 });
      this.#isThere = true;
    } catch (error) {
      await rm(this.#path, { force: true });
      if (!isNoSpace(error)) throw error;
    }
  }

  async #release(): Promise<void> {
    await this.#filling;
    this.#isThere = false;
    await rm(this.#path, { force: true });
  }
}
