import { randomBytes } from 'node:crypto';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bootId, processIdentity } from '@microvm/native';

const FILE = /^(?<digest>[0-9a-f]{64})\.(?<pid>\d+)\.(?<startTime>\d+)\.(?<bootId>[0-9a-f-]+)\.[0-9a-f]{16}$/;

/**
 * Images that a living process is at work with, as files whose names say all: the image and the process. A
 * process that was killed holds nothing, whatever it left.
 */
export class ImageHolds {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Under the store's lock. The answer lets go, and needs no lock. */
  async hold(digest: string): Promise<() => Promise<void>> {
    const self = processIdentity(process.pid);
    if (self === undefined) throw new Error('this process has no entry in /proc');
    const name = [digest, self.pid, self.startTime, self.bootId, randomBytes(8).toString('hex')].join('.');
    const path = join(this.#folder, name);
    await writeFile(path, '');
    return () => rm(path, { force: true });
  }

  /** Digests in hex that are held, after the holds of dead processes were removed. Under the store's lock. */
  async held(): Promise<ReadonlySet<string>> {
    const held = new Set<string>();
    for (const name of await readdir(this.#folder)) {
      const hold = FILE.exec(name)?.groups;
      const { digest = '', pid, startTime } = hold ?? {};
      const holder = hold?.['bootId'] === bootId() ? processIdentity(Number(pid)) : undefined;
      if (holder?.startTime === startTime && holder !== undefined) held.add(digest);
      else await rm(join(this.#folder, name), { force: true });
    }
    return held;
  }
}
