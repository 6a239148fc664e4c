import { randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { bootId } from '@microvm/native';
import { syncPath } from '@microvm/runtime';
import { z } from 'zod';
import { sha256OfFile } from '../content/file-digest.js';
import { versionOfSize } from '../content/file-identity.js';
import { readJsonIfSound } from '../host/read-json.js';
import { hasCode, ignoreAbsent } from '../host/system-error.js';

const MANIFEST = 'manifest.json';
const VERIFIED = 'verified.json';
const ORPHAN_AGE_MS = 24 * 60 * 60 * 1000;

const manifestSchema = z.strictObject({
  facts: z.record(z.string(), z.string()),
  files: z.record(z.string(), z.strictObject({ sizeBytes: z.int().min(0), sha256: z.string().length(64) })),
});
type Manifest = z.infer<typeof manifestSchema>;

const verifiedSchema = z.strictObject({ bootId: z.string(), identities: z.record(z.string(), z.string()) });

/**
 * `base`: what comes from packages. `initrd`: what is made of a base and an agent. `template`: the root file
 * system of an image, which VMs share.
 */
export type EntryKind = 'base' | 'initrd' | 'template';
const KINDS: readonly EntryKind[] = ['base', 'initrd', 'template'];

/** A published entry, whose files are as they were made. */
export interface StoreEntry {
  readonly key: string;
  readonly facts: Readonly<Record<string, string>>;
  /** Path of a file; it stays valid when the entry is repaired. */
  path(file: string): string;
  /** SHA-256 of a file, in hex. */
  digest(file: string): string;
  /** Names of all files, sorted. */
  readonly files: readonly string[];
}

/**
 * Entries in a folder, each whole or absent. `<kind>/<key>` is a link, made in one step, to a folder in
 * `entries/` that never changes. Several processes may work on the store at once: the second process with a
 * key takes the first one's entry.
 */
export class EntryStore {
  readonly #root: string;
  readonly #signal: AbortSignal | undefined;

  constructor(root: string, signal?: AbortSignal) {
    this.#root = root;
    this.#signal = signal;
  }

  /**
   * The entry with this key; undefined when there is none or when a file of it is missing or has changed.
   * Digests are computed on the first call after a boot of the host; later ones compare the files' identity,
   * size and times.
   */
  async open(kind: EntryKind, key: string): Promise<StoreEntry | undefined> {
    const folder = this.#linkPath(kind, key);
    const manifest = await readJsonIfSound(join(folder, MANIFEST), manifestSchema);
    if (manifest === undefined || !(await this.#isIntact(folder, manifest))) return undefined;
    return {
      key,
      facts: manifest.facts,
      files: Object.keys(manifest.files).toSorted(),
      path: (file) => join(folder, file),
      digest: (file) => {
        const entry = manifest.files[file];
        if (entry === undefined) throw new Error(`${folder} has no file "${file}"`);
        return entry.sha256;
      },
    };
  }

  /**
   * Makes the entry: `fill` writes the entry's files into an empty folder and returns the facts about them.
   * An entry under this key that is not intact is replaced. When `fill` fails, nothing is left.
   */
  async publish(
    kind: EntryKind,
    key: string,
    fill: (folder: string) => Promise<Record<string, string>>,
  ): Promise<StoreEntry> {
    const folder = await this.makeFolder();
    try {
      await this.seal(folder, await fill(folder));
      await this.#link(kind, key, folder);
    } catch (error) {
      await rm(folder, { recursive: true, force: true }).catch(() => undefined);
      throw error;
    }
    const entry = await this.open(kind, key);
    if (entry === undefined)
      throw new Error(`${this.#linkPath(kind, key)} was changed while it was published`);
    return entry;
  }

  /** Describes a folder of the caller's that is filled, and makes it survive a power cut. */
  async seal(folder: string, facts: Record<string, string>): Promise<void> {
    const manifest = await this.#describe(folder, facts);
    await writeFile(join(folder, MANIFEST), JSON.stringify(manifest));
    this.#signal?.throwIfAborted();
    const names = [...Object.keys(manifest.files), MANIFEST];
    const folders = new Set(names.map((name) => dirname(join(folder, name))));
    for (const path of [...names.map((name) => join(folder, name)), ...folders]) await syncPath(path);
    const identities: Record<string, string> = {};
    for (const [name, { sizeBytes }] of Object.entries(manifest.files)) {
      identities[name] = (await versionOfSize(join(folder, name), sizeBytes)) ?? '';
    }
    await writeAside(join(folder, VERIFIED), JSON.stringify({ bootId: bootId(), identities }));
  }

  /**
   * Gives a sealed folder on the same file system its key. The caller keeps others from removing unlinked
   * folders meanwhile.
   */
  async adopt(kind: EntryKind, key: string, folder: string): Promise<void> {
    const entry = join(this.#root, 'entries', randomBytes(8).toString('hex'));
    await mkdir(dirname(entry), { recursive: true });
    await rename(folder, entry);
    await this.#link(kind, key, entry);
  }

  /** Reads an entry whole, whatever was read of it before. Answers what is wrong with it. */
  async problems(kind: EntryKind, key: string): Promise<{ part: string; problem: string }[]> {
    const folder = this.#linkPath(kind, key);
    const manifest = await readJsonIfSound(join(folder, MANIFEST), manifestSchema);
    if (manifest === undefined) return [{ part: `${kind}/${key}`, problem: 'there is no such entry' }];
    const problems: { part: string; problem: string }[] = [];
    for (const [part, { sha256 }] of Object.entries(manifest.files)) {
      const path = join(folder, part);
      const found = await stat(path).catch(ignoreAbsent);
      const actual = found === undefined ? undefined : await sha256OfFile(path, this.#signal);
      if (actual === undefined) problems.push({ part, problem: 'there is no such file' });
      else if (actual !== sha256) problems.push({ part, problem: `its digest is sha256:${actual}` });
    }
    // Damage by a disk leaves a file's identity as it is: the next call of `open` has to read the files, too.
    if (problems.length > 0) await rm(join(folder, VERIFIED), { force: true });
    return problems;
  }

  async keys(kind: EntryKind): Promise<string[]> {
    return namesIn(join(this.#root, kind));
  }

  /** Takes an entry's key away, and then its files. */
  async remove(kind: EntryKind, key: string): Promise<void> {
    const link = this.#linkPath(kind, key);
    const target = await readLinkIfAny(link);
    await rm(link, { force: true });
    if (target !== undefined) await rm(join(this.#root, kind, target), { recursive: true, force: true });
  }

  /**
   * An empty folder on the file system of the entries. The caller removes it; what a killed process left goes
   * after a day.
   */
  async makeFolder(): Promise<string> {
    await this.removeUnlinked(ORPHAN_AGE_MS);
    const folder = join(this.#root, 'entries', randomBytes(8).toString('hex'));
    await mkdir(folder, { recursive: true });
    return folder;
  }

  /** The key that was selected last. */
  async selected(kind: EntryKind): Promise<string | undefined> {
    return readLinkIfAny(join(this.#root, `selected-${kind}`));
  }

  async select(kind: EntryKind, key: string): Promise<void> {
    await this.#replaceLink(key, join(this.#root, `selected-${kind}`));
  }

  #linkPath(kind: EntryKind, key: string): string {
    return join(this.#root, kind, key);
  }

  async #link(kind: EntryKind, key: string, folder: string): Promise<void> {
    const link = this.#linkPath(kind, key);
    await mkdir(join(this.#root, kind), { recursive: true });
    const target = join('..', 'entries', folder.slice(folder.lastIndexOf('/') + 1));
    await syncPath(join(this.#root, 'entries'));
    try {
      await symlink(target, link);
      await syncPath(dirname(link));
      return;
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
    if ((await this.open(kind, key)) !== undefined) {
      await rm(folder, { recursive: true });
      return;
    }
    const broken = await readLinkIfAny(link);
    await this.#replaceLink(target, link);
    if (broken !== undefined) await rm(join(this.#root, kind, broken), { recursive: true, force: true });
  }

  async #replaceLink(target: string, link: string): Promise<void> {
    const temporary = join(this.#root, 'entries', randomBytes(8).toString('hex'));
    await symlink(target, temporary);
    await rename(temporary, link);
    await syncPath(dirname(link));
  }

  async #describe(folder: string, facts: Record<string, string>): Promise<Manifest> {
    const files: Manifest['files'] = {};
    for (const name of (await listFiles(folder)).toSorted()) {
      const { size } = await stat(join(folder, name));
      files[name] = { sizeBytes: size, sha256: await sha256OfFile(join(folder, name), this.#signal) };
    }
    return { facts, files };
  }

  async #isIntact(folder: string, manifest: Manifest): Promise<boolean> {
    const identities: Record<string, string> = {};
    for (const [name, { sizeBytes }] of Object.entries(manifest.files)) {
      const identity = await versionOfSize(join(folder, name), sizeBytes);
      if (identity === undefined) return false;
      identities[name] = identity;
    }
    const verified = await readJsonIfSound(join(folder, VERIFIED), verifiedSchema);
    const known = verified?.bootId === bootId() ? verified.identities : {};
    let isComplete = true;
    for (const [name, { sha256 }] of Object.entries(manifest.files)) {
      if (known[name] === identities[name]) continue;
      isComplete = false;
      if ((await sha256OfFile(join(folder, name), this.#signal)) !== sha256) return false;
    }
    if (!isComplete)
      await writeAside(join(folder, VERIFIED), JSON.stringify({ bootId: bootId(), identities }));
    return true;
  }

  /**
   * Removes folders that no link leads to and that nobody has changed for so long, as a killed process
   * leaves them.
   */
  async removeUnlinked(ageMs: number): Promise<string[]> {
    const entries = await namesIn(join(this.#root, 'entries'));
    const linked = new Set<string>();
    for (const kind of KINDS) {
      for (const key of await namesIn(join(this.#root, kind))) {
        const target = await readLinkIfAny(join(this.#root, kind, key));
        if (target !== undefined) linked.add(target.slice(target.lastIndexOf('/') + 1));
      }
    }
    const removed: string[] = [];
    for (const name of entries.filter((entry) => !linked.has(entry))) {
      const path = join(this.#root, 'entries', name);
      const found = await lstat(path).catch(ignoreAbsent);
      if (found === undefined || Date.now() - found.mtimeMs < ageMs) continue;
      await rm(path, { recursive: true, force: true });
      removed.push(join('entries', name));
    }
    return removed;
  }
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

/** Replaces a file that only saves work; a cache that this user may not write to is as good without it. */
async function writeAside(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    await writeFile(temporary, text);
    await rename(temporary, path);
  } catch {
    // See above: the digests are computed again next time.
    await rm(temporary, { force: true }).catch(() => {});
  }
}

function readLinkIfAny(path: string): Promise<string | undefined> {
  return readlink(path).catch(ignoreAbsent);
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(ignoreAbsent)) ?? [];
}
