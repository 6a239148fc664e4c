import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { VmRuntimeError } from '@microvm/runtime';
import { z } from 'zod';
import { sha256OfFile } from '../content/file-digest.js';
import { readJsonIfSound } from '../host/read-json.js';
import type { OnImageProgress } from '../progress.js';
import type { EntryStore, StoreEntry } from '../store/entry-store.js';
import { BASE_FILES, makeDataDisk } from './base-image.js';

const PACKAGE = '@microvm/default-image';
const MANIFEST = 'manifest.json';

const manifestSchema = z.strictObject({
  /** That of the default image: other code puts other modules into the initramfs. */
  format: z.int(),
  /** The base's key in the store: its packages and their versions. */
  key: z.string().regex(/^[A-Za-z0-9._+~-]{1,255}$/, 'a name of packages'),
  facts: z.record(z.string(), z.string()),
  files: z.record(
    z.string().regex(/^(?!\.\.?(\/|$))[\w.+-]+(\/(?!\.\.?(\/|$))[\w.+-]+)*$/),
    z.string().length(64),
  ),
});

/** A base as the npm package `@microvm/default-image` brings it. */
export interface PackagedBase {
  readonly key: string;
  readonly folder: string;
  readonly facts: Readonly<Record<string, string>>;
  /** SHA-256 in hex by the file's name. */
  readonly files: Readonly<Record<string, string>>;
}

/** The fact that tells a base of the package from one that apt has fetched. */
export const FROM_PACKAGE = { source: PACKAGE } as const;

/** Where the package's files would be; undefined when it is not installed, or a bundler has left it out. */
export function packagedFolder(): string | undefined {
  try {
    return join(dirname(createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`)), 'base');
  } catch {
    // Without it, the files come from Debian's packages.
    return undefined;
  }
}

/** The base in a folder; undefined when there is none, as in a checkout, or when it is for another format. */
export async function readPackagedBase(folder: string, format: number): Promise<PackagedBase | undefined> {
  const manifest = await readJsonIfSound(join(folder, MANIFEST), manifestSchema);
  return manifest?.format === format ? { ...manifest, folder } : undefined;
}

export interface PackagedBaseOptions {
  readonly store: EntryStore;
  readonly onProgress: OnImageProgress;
  readonly signal: AbortSignal | undefined;
}

/** Takes a packaged base into the store, or finds it there. Rejects when a file is not what it should be. */
export async function takePackagedBase(
  { store, onProgress, signal }: PackagedBaseOptions,
  { key, folder, facts, files }: PackagedBase,
): Promise<StoreEntry> {
  const known = await store.open('base', key);
  if (known !== undefined) return known;
  return store.publish('base', key, async (into) => {
    const names = Object.keys(files);
    for (const [index, name] of names.entries()) {
      onProgress({ step: 'unpack', done: index, total: names.length, unit: 'files' });
      signal?.throwIfAborted();
      await mkdir(dirname(join(into, name)), { recursive: true });
      await copyFile(join(folder, name), join(into, name));
      const digest = await sha256OfFile(join(into, name), signal);
      if (digest !== files[name]) throw damaged(join(folder, name));
    }
    onProgress({ step: 'unpack', done: names.length, total: names.length, unit: 'files' });
    await makeDataDisk(into, { onProgress, signal });
    return { ...facts, ...FROM_PACKAGE };
  });
}

function damaged(path: string): VmRuntimeError {
  return new VmRuntimeError('MICROVM_HOST_FAILURE', `make the default image: "${path}" is damaged`, {
    details: { operation: 'make the default image' },
    retryable: false,
    remedy: `install ${PACKAGE} again`,
  });
}

/** Writes a base of the store as the package has it, into an empty folder or one that is not there. */
export async function writePackagedBase(
  folder: string,
  base: StoreEntry,
  format: number,
): Promise<PackagedBase> {
  const names = base.files.filter((name) => name !== BASE_FILES.dataDisk);
  for (const name of names) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await copyFile(base.path(name), join(folder, name));
  }
  const { source: _source, ...facts } = base.facts;
  const files = Object.fromEntries(names.map((name) => [name, base.digest(name)]));
  const manifest = { format, key: base.key, facts, files };
  await writeFile(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
  return { key: base.key, folder, facts, files };
}
