import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ignoreAbsent } from '../host/system-error.js';
import { manifestSchema } from '../sources/documents.js';
import { hexOf } from '../sources/offered-image.js';
import { type ImageFolder, parseTemplateKey } from './image-folder.js';
import { TEMPLATE_VERSION } from './template.js';
import type { ImageUses } from './users.js';

export interface GcOptions {
  /** Only say what would be removed; default false. */
  readonly dryRun?: boolean | undefined;
  /** Keep unused images, those used last first, as long as they take no more than this; default 0. */
  readonly keepBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What an image store got rid of, or would. */
export interface GcResult {
  readonly removed: readonly {
    /** `template`: a root file system. `blob`: a manifest, a config or a layer. `work`: half made. */
    readonly kind: 'template' | 'blob' | 'work';
    readonly id: string;
    readonly sizeBytes: number;
  }[];
  readonly freedBytes: number;
  /** State directories that could not be read: while there is one, every image counts as in use. */
  readonly unreadable: ImageUses['unreadable'];
}

type Removed = GcResult['removed'][number];

interface StoredTemplate {
  readonly key: string;
  readonly digest: string;
  readonly version: number;
  readonly sizeBytes: number;
  readonly usedAtMs: number;
}

/**
 * Mark and sweep, under the store's lock. An image is needed by a name, by a record of a registered state
 * directory, and by a call that is at work on it. A process that is killed in it leaves what it had not
 * removed yet, which the next one removes.
 */
export function collectGarbage(folder: ImageFolder, options: GcOptions): Promise<GcResult> {
  const { dryRun = false, keepBytes = 0, signal } = options;
  return folder.underLock(async () => {
    const swept = dryRun ? [] : await folder.sweepHalfMade();
    const removed: Removed[] = swept.map((id) => ({ kind: 'work', id, sizeBytes: 0 }));
    // Holds first: a call lets go, without the lock, once a name or a record needs the image. Who has let go
    // by now has written it, and it is read next.
    const held = await folder.holds.held();
    const { users, unreadable } = await folder.users.uses();
    if (unreadable.length === 0) {
      const names = await folder.names.list();
      const marked = new Set([...users.keys(), ...names.map(({ digest }) => hexOf(digest)), ...held]);
      removed.push(...(await sweep(folder, { marked, held, dryRun, keepBytes, signal })));
    }
    return { removed, freedBytes: removed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0), unreadable };
  }, signal);
}

interface Mark {
  readonly marked: Set<string>;
  readonly held: ReadonlySet<string>;
  readonly dryRun: boolean;
  readonly keepBytes: number;
  readonly signal: AbortSignal | undefined;
}

async function sweep(folder: ImageFolder, mark: Mark): Promise<Removed[]> {
  const { marked, held, dryRun, keepBytes, signal } = mark;
  const templates = await storedTemplates(folder);
  let kept = 0;
  for (const { digest, version, sizeBytes } of templates) {
    if (marked.has(digest) || version !== TEMPLATE_VERSION) continue;
    kept += sizeBytes;
    if (kept > keepBytes) break;
    marked.add(digest);
  }
  // Another version's template is made anew from its blobs, unless a call is just reading it.
  const isNeeded = ({ digest, version }: StoredTemplate): boolean =>
    marked.has(digest) && (version === TEMPLATE_VERSION || held.has(digest));
  const removed: Removed[] = [];
  for (const template of templates.filter((each) => !isNeeded(each))) {
    signal?.throwIfAborted();
    if (!dryRun) await folder.entries().remove('template', template.key);
    removed.push({ kind: 'template', id: template.key, sizeBytes: template.sizeBytes });
  }
  const neededBlobs = await blobsOf(folder, marked);
  for (const digest of await folder.blobs.list()) {
    if (neededBlobs?.has(digest) !== false) continue;
    signal?.throwIfAborted();
    const sizeBytes = (await stat(folder.blobs.path(digest)).catch(ignoreAbsent))?.size ?? 0;
    if (!dryRun) await folder.blobs.remove(digest);
    removed.push({ kind: 'blob', id: digest, sizeBytes });
  }
  return removed;
}

/** Those used last first. */
async function storedTemplates(folder: ImageFolder): Promise<StoredTemplate[]> {
  const found: StoredTemplate[] = [];
  for (const key of await folder.entries().keys('template')) {
    const parsed = parseTemplateKey(key);
    const path = join(folder.root, 'template', key);
    const usedAtMs = (await stat(path).catch(ignoreAbsent))?.mtimeMs ?? 0;
    found.push({ key, digest: '', version: 0, ...parsed, usedAtMs, sizeBytes: await sizeOfFolder(path) });
  }
  return found.toSorted((a, b) => b.usedAtMs - a.usedAtMs);
}

async function sizeOfFolder(path: string): Promise<number> {
  const names = (await readdir(path).catch(ignoreAbsent)) ?? [];
  const found = await Promise.all(names.map((name) => stat(join(path, name)).catch(ignoreAbsent)));
  return found.reduce((sum, file) => sum + (file?.size ?? 0), 0);
}

/**
 * Manifests, configs and layers of images; undefined when a manifest cannot be read: then all may be needed.
 */
async function blobsOf(
  folder: ImageFolder,
  digests: ReadonlySet<string>,
): Promise<ReadonlySet<string> | undefined> {
  const needed = new Set<string>();
  for (const digest of digests) {
    const data = await folder.blobs.read(digest);
    if (data === undefined) continue;
    needed.add(digest);
    try {
      const { config, layers } = manifestSchema.parse(JSON.parse(data.toString()));
      for (const blob of [config, ...layers]) needed.add(hexOf(blob.digest));
    } catch {
      // A damaged manifest: verify() tells of it.
      return undefined;
    }
  }
  return needed;
}
