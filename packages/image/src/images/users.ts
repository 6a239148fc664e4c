import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurable } from '@microvm/native';
import { z } from 'zod';
import { sha256 } from '../content/file-digest.js';
import { readJsonIfSound } from '../host/read-json.js';
import { hasCode, ignoreAbsent } from '../host/system-error.js';

const registrationSchema = z.strictObject({ stateDir: z.string() });
const DIGESTS = /sha256:([0-9a-f]{64})/g;
const READS_AT_ONCE = 32;
const recordSchema = z.looseObject({
  vmId: z.string().optional(),
  snapshotId: z.string().optional(),
  state: z.string().optional(),
});

/** Who needs an image. */
export interface ImageUser {
  readonly stateDir: string;
  readonly kind: 'vm' | 'snapshot';
  /** The VM's or the snapshot's id; the name of its folder where the record does not say. */
  readonly id: string;
}

export interface ImageUses {
  /** By digest, in hex. */
  readonly users: ReadonlyMap<string, readonly ImageUser[]>;
  /** State directories that could not be read: every image counts as in use. */
  readonly unreadable: readonly { readonly stateDir: string; readonly problem: string }[];
}

/**
 * The state directories that use a store, and what their records need of it. A record needs each image whose
 * digest stands anywhere in it, so that the mark does not depend on the form of records, which other versions
 * may write in another way.
 */
export class ImageUsers {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Idempotent. Survives a power cut. */
  async register(stateDir: string): Promise<void> {
    const path = join(this.#folder, `${sha256(stateDir)}.json`);
    const known = await readJsonIfSound(path, registrationSchema);
    if (known?.stateDir !== stateDir) await writeDurable(path, JSON.stringify({ stateDir }));
  }

  /** Reads all records. A state directory that is gone is forgotten. */
  async uses(): Promise<ImageUses> {
    const users = new Map<string, ImageUser[]>();
    const unreadable: { stateDir: string; problem: string }[] = [];
    for (const file of await readdir(this.#folder)) {
      if (!file.endsWith('.json') || file.startsWith('.')) continue;
      const path = join(this.#folder, file);
      const registration = await readJsonIfSound(path, registrationSchema);
      if (registration === undefined) {
        unreadable.push({ stateDir: path, problem: 'the registration cannot be read' });
        continue;
      }
      const { stateDir } = registration;
      try {
        if ((await stat(stateDir).catch(ignoreMissing)) === undefined) await rm(path, { force: true });
        else await markAll(stateDir, users);
      } catch (error) {
        unreadable.push({ stateDir, problem: (error as Error).message });
      }
    }
    return { users, unreadable };
  }
}

async function markAll(stateDir: string, users: Map<string, ImageUser[]>): Promise<void> {
  for (const [folder, record, kind] of [
    ['vms', 'vm.json', 'vm'],
    ['snapshots', 'manifest.json', 'snapshot'],
  ] as const) {
    const names = (await readdir(join(stateDir, folder)).catch(ignoreMissing)) ?? [];
    for (let start = 0; start < names.length; start += READS_AT_ONCE) {
      const some = names.slice(start, start + READS_AT_ONCE);
      const texts = some.map((name) =>
        readFile(join(stateDir, folder, name, record), 'utf8').catch(ignoreAbsent),
      );
      for (const [index, text] of (await Promise.all(texts)).entries()) {
        if (text === undefined) continue;
        const { vmId, snapshotId, state } = recordSchema.parse(JSON.parse(text));
        // The record of a destroyed VM tells of its jobs only.
        if (kind === 'vm' && state === 'destroyed') continue;
        const id = (kind === 'vm' ? vmId : snapshotId) ?? some[index] ?? '';
        for (const digest of new Set([...text.matchAll(DIGESTS)].map(([, hex = '']) => hex))) {
          users.set(digest, [...(users.get(digest) ?? []), { stateDir, kind, id }]);
        }
      }
    }
  }
}

/** A path whose folder is a file, or closed to this user, is not gone: it cannot be read. */
function ignoreMissing(error: unknown): undefined {
  if (!hasCode(error, 'ENOENT')) throw error;
  return undefined;
}
