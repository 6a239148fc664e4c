import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageConfig } from '@microvm/runtime';
import { ignoreAbsent } from '../host/system-error.js';
import { imageConfigOf } from '../sources/documents.js';
import { hexOf } from '../sources/offered-image.js';
import { type ImageFolder, parseTemplateKey, templateKey } from './image-folder.js';
import { readStored } from './take-image.js';
import { ROOTFS_FILE, TEMPLATE_VERSION } from './template.js';
import type { ImageUser, ImageUses } from './users.js';

/** An image in a list. */
export interface ImageSummary {
  /** Of the manifest: `sha256:` and 64 hex digits. */
  readonly digest: string;
  /** Sorted; none for an image whose names were given up or have moved on. */
  readonly names: readonly string[];
  /** Of the root file system that VMs share; 0 until it is made. */
  readonly rootfsBytes: number;
}

/** All that is known of an image. */
export interface ImageDescription extends ImageSummary {
  readonly config: ImageConfig;
  /** As the image says; ISO 8601. */
  readonly createdAt?: string;
  /** Lowest first. */
  readonly layers: readonly { readonly digest: string; readonly sizeBytes: number }[];
  readonly users: readonly ImageUser[];
  /** State directories whose records could not be read, and may need the image. */
  readonly unreadable: ImageUses['unreadable'];
}

export async function listImages(folder: ImageFolder): Promise<ImageSummary[]> {
  const names = new Map<string, string[]>();
  for (const { name, digest } of await folder.names.list()) {
    names.set(hexOf(digest), [...(names.get(hexOf(digest)) ?? []), name]);
  }
  for (const key of await folder.entries().keys('template')) {
    const parsed = parseTemplateKey(key);
    if (parsed?.version === TEMPLATE_VERSION && !names.has(parsed.digest)) names.set(parsed.digest, []);
  }
  const named = [...names].toSorted(([, a], [, b]) => order(a[0], b[0]));
  return Promise.all(named.map(([digest, own]) => summarise(folder, digest, own)));
}

/** @throws MICROVM_IMAGE_INVALID for an image whose manifest or config is gone */
export async function describeImage(folder: ImageFolder, digest: string): Promise<ImageDescription> {
  const all = await folder.names.list();
  const names = all.filter((each) => hexOf(each.digest) === digest).map(({ name }) => name);
  const { manifest, config } = await readStored(folder, digest);
  const { users, unreadable } = await folder.users.uses();
  const created = config['created'];
  return {
    ...(await summarise(folder, digest, names)),
    config: imageConfigOf(config, { source: `sha256:${digest}`, entry: manifest.config.digest }),
    ...(typeof created === 'string' ? { createdAt: created } : {}),
    layers: manifest.layers.map((layer) => ({ digest: layer.digest, sizeBytes: layer.size })),
    users: users.get(digest) ?? [],
    unreadable,
  };
}

async function summarise(folder: ImageFolder, digest: string, names: string[]): Promise<ImageSummary> {
  const rootfs = join(folder.root, 'template', templateKey(digest), ROOTFS_FILE);
  const found = await stat(rootfs).catch(ignoreAbsent);
  return { digest: `sha256:${digest}`, names, rootfsBytes: found?.size ?? 0 };
}

/** Images without a name come last. */
function order(a: string | undefined, b: string | undefined): number {
  if (a === b) return 0;
  return b === undefined || (a !== undefined && a < b) ? -1 : 1;
}
