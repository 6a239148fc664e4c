import { link, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FlattenLimits, ImageLayer } from '@microvm/native';
import { hasCode } from '../host/system-error.js';
import type { OnImageProgress } from '../progress.js';
import { compressionOf } from '../sources/compression.js';
import {
  configSchema,
  imageConfigOf,
  type Manifest,
  manifestSchema,
  parseDocument,
} from '../sources/documents.js';
import { FolderFiles } from '../sources/image-files.js';
import { imageInvalid } from '../sources/invalid.js';
import { hexOf, type OfferedImage, sha256 } from '../sources/offered-image.js';
import { IMAGE_FILE, type ImageFolder, templateKey } from './image-folder.js';
import { makeRootfs } from './template.js';

export interface TakeCall {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnImageProgress | undefined;
  readonly limits?: Partial<FlattenLimits> | undefined;
}

/**
 * Brings an image into the store: its blobs, then its template. Work that another call has done, or is doing,
 * is not done again. The image must be held.
 */
export async function takeImage(folder: ImageFolder, image: OfferedImage, call: TakeCall): Promise<void> {
  const work = await folder.workOn(image.digest, call.signal);
  try {
    const staging = join(work.path, 'blobs');
    await mkdir(staging);
    await takeBlobs(folder, image, { staging, call });
    await ensureTemplate(folder, { ...image, work: work.path }, call);
  } finally {
    await work.release();
  }
}

/** Makes the template of an image whose blobs the store has, unless it is there. The image must be held. */
export async function remakeTemplate(folder: ImageFolder, digest: string, call: TakeCall): Promise<void> {
  const work = await folder.workOn(digest, call.signal);
  try {
    await ensureTemplate(folder, { source: `sha256:${digest}`, digest, work: work.path }, call);
  } finally {
    await work.release();
  }
}

async function takeBlobs(
  folder: ImageFolder,
  image: OfferedImage,
  { staging, call }: { staging: string; call: TakeCall },
): Promise<void> {
  const { source, layers, digest } = image;
  const total = layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let done = 0;
  const report = (bytes: number): void => {
    done += bytes;
    call.onProgress?.({ step: 'layers', done, total, unit: 'bytes' });
  };
  for (const layer of new Map(layers.map((each) => [each.digest, each])).values()) {
    const staged = join(staging, layer.digest);
    const isThere =
      (await isLinked(folder.blobs.path(layer.digest), staged)) ||
      (layer.ownPath !== undefined && (await isLinked(layer.ownPath, staged)));
    if (isThere) report(layer.sizeBytes);
    else await folder.blobs.stage(layer, staging, { source, signal: call.signal, onBytes: report });
  }
  const config = await folder.blobs.stageData(image.configData, staging);
  await folder.blobs.stageData(image.manifestData, staging);
  await publishBlobs(folder, staging, [...layers.map((layer) => layer.digest), config, digest]);
}

/** Gives staged blobs their place in the store. */
export async function publishBlobs(
  folder: ImageFolder,
  staging: string,
  digests: readonly string[],
): Promise<void> {
  await folder.blobs.settle(staging, digests);
  await folder.underLock(() => folder.blobs.publish(staging, digests));
}

/** A blob that the store has is the same one. It may be removed meanwhile: then the link is what is left. */
async function isLinked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

interface Work {
  readonly source: string;
  readonly digest: string;
  readonly work: string;
}

async function ensureTemplate(folder: ImageFolder, work: Work, call: TakeCall): Promise<void> {
  const { digest, source } = work;
  if ((await folder.template(digest, call.signal)) !== undefined) return;
  const { manifest, config } = await readStored(folder, digest, source);
  const image = imageConfigOf(config, { source, entry: manifest.config.digest });
  const template = join(work.work, 'template');
  const layers = await layersOf(folder, manifest, config.rootfs.diff_ids);
  await mkdir(template);
  await makeRootfs({
    source,
    layers,
    layerNames: manifest.layers.map((layer) => layer.digest),
    folder: template,
    workDir: work.work,
    limits: call.limits,
    signal: call.signal,
    onProgress: (done, total) => call.onProgress?.({ step: 'root file system', done, total, unit: 'bytes' }),
  });
  await writeFile(join(template, IMAGE_FILE), JSON.stringify(image));
  const entries = folder.entries(call.signal);
  await entries.seal(template, { digest });
  await folder.underLock(() => entries.adopt('template', templateKey(digest), template), call.signal);
}

/**
 * The documents of an image as the store has them.
 *
 * @throws MICROVM_IMAGE_INVALID
 */
export async function readStored(
  folder: ImageFolder,
  digest: string,
  source = `sha256:${digest}`,
): Promise<{ manifest: Manifest; config: ReturnType<typeof configSchema.parse> }> {
  const entry = `sha256:${digest}`;
  const manifest = parseDocument(await document(folder, digest, source), manifestSchema, { source, entry });
  const data = await document(folder, hexOf(manifest.config.digest), source);
  const config = parseDocument(data, configSchema, { source, entry: manifest.config.digest });
  return { manifest, config };
}

async function document(folder: ImageFolder, digest: string, source: string): Promise<Buffer> {
  const data = await folder.blobs.read(digest);
  const entry = `sha256:${digest}`;
  if (data === undefined) throw imageInvalid({ source, entry, reason: 'the store has no such blob' });
  if (sha256(data) === digest) return data;
  throw imageInvalid({ source, entry, reason: 'the blob in the store is damaged' });
}

async function layersOf(
  folder: ImageFolder,
  { layers }: Manifest,
  diffIds: readonly string[],
): Promise<ImageLayer[]> {
  const files = new FolderFiles(join(folder.root, 'blobs'), folder.root);
  return Promise.all(
    layers.map(async ({ digest, size }, index) => {
      const hex = hexOf(digest);
      const part = await files.open(`sha256/${hex}`);
      if (part === undefined) {
        throw imageInvalid({ source: folder.root, entry: digest, reason: 'the store has no such blob' });
      }
      const compression = await compressionOf(part).finally(() => part.close());
      const path = folder.blobs.path(hex);
      return { path, compression, digest: hex, sizeBytes: size, diffId: hexOf(diffIds[index] ?? '') };
    }),
  );
}
