import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '../content/file-digest.js';
import { BASE_FILES } from './base-image.js';
import type { EntryStore, StoreEntry } from '../store/entry-store.js';
import { buildInitramfs, type InitramfsParts } from './initramfs.js';
import { type OnImageProgress, reportStep } from '../progress.js';

/** Name of the only file in an initrd's entry. */
export const INITRD_FILE = 'initrd';

export interface InitrdInputs {
  readonly store: EntryStore;
  readonly base: StoreEntry;
  readonly agentPath: string;
  readonly onProgress?: OnImageProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The initrd of a base and an agent, made or found in the store. It is not compressed: unpacking takes an
 * emulated guest as long as reading does, and without a compressor's version in play the same parts always
 * give the same digest.
 */
export async function makeInitrd(inputs: InitrdInputs): Promise<StoreEntry> {
  const { store, base, agentPath, signal } = inputs;
  const isPart = (file: string): boolean =>
    file === BASE_FILES.busybox || file === BASE_FILES.applets || file.startsWith('modules');
  const digests = base.files.filter(isPart).map((file) => base.digest(file));
  const agent = await readFile(agentPath, { signal });
  const agentDigest = sha256(agent);
  const key = sha256([...digests, agentDigest].join('\n')).slice(0, 32);
  const known = await store.open('initrd', key);
  if (known !== undefined) return known;
  return reportStep(inputs.onProgress ?? (() => {}), 'initrd', () =>
    store.publish('initrd', key, async (folder) => {
      await writeFile(join(folder, INITRD_FILE), await buildInitramfs(await partsOf(base, agent)));
      return { base: base.key, agent: agentDigest };
    }),
  );
}

async function partsOf(base: StoreEntry, agent: Buffer): Promise<InitramfsParts> {
  const lines = async (file: string): Promise<string[]> => {
    const text = await readFile(base.path(file), 'utf8');
    return text.split('\n').filter(Boolean);
  };
  const modules = await lines(BASE_FILES.moduleOrder);
  return {
    agent,
    busyboxPath: base.path(BASE_FILES.busybox),
    applets: await lines(BASE_FILES.applets),
    modulePaths: modules.map((module) => base.path(module)),
    kernelRelease: base.facts['kernelRelease'] ?? '',
  };
}
