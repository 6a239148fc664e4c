import { link, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FlattenLimits, ImageLayer } from '@microvm/native';
import { sha256 } from '../content/file-digest.js';
import { hasCode } from '../host/system-error.js';
import type { OnImageProgress } from '../progress.js';
import { compressionOf } from '../sources/compression.js';
import {
  type Config,
  configSchema,
  imageConfigOf,
  type Manifest,
  manifestSchema,
  parseDocument,
} from '../sources/documents.js';
import { FolderFiles } from '../sources/image-files.js';
import { imageInvalid } from '../sources/invalid.js';
import { hexOf, type OfferedImage } from '../sources/offered-image.js';
import { IMAGE_FILE, type ImageFolder, templateKey } from './image-folder.js';
import { makeRootfs } from './template.js';

export interface TakeCall {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnImageProgress | undefined;
  readonly limits?: Partial<FlattenLimits> | undefined;
}

/**
 * Brings an image into the store. The template is made of the blobs while they are still in the work folder,
 * so that nothing of an image that is wrong in any way is ever in the store. Work that another call has done,
 * or is doing, is not done again. The image must be held.
 */
export async function takeImage(folder: ImageFolder, image: OfferedImage, call: TakeCall): Promise<void> {
  const work = await folder.workOn(image.digest, call.signal);
  try {
    const blobs = join(work.path, 'blobs');
    await mkdir(blobs);
    const digests = await stageBlobs(folder, image, { blobs, call });
    const template = await makeTemplate(folder, { ...image, blobs, work: work.path }, call);
    await folder.blobs.settle(blobs, digests);
    await folder.underLock(async () => {
      await folder.blobs.publish(blobs, digests);
      await template?.adopt();
    }, call.signal);
  } finally {
    await work.release();
  }
}

/** Makes the template of an image whose blobs the store has, unless it is there. The image must be held. */
export async function remakeTemplate(folder: ImageFolder, digest: string, call: TakeCall): Promise<void> {
  const work = await folder.workOn(digest, call.signal);
  try {
    const source = `sha256:${digest}`;
    const stored = await readStored(folder, digest);
    const blobs = folder.blobs.folder;
    const template = await makeTemplate(folder, { ...stored, source, digest, blobs, work: work.path }, call);
    await folder.underLock(async () => template?.adopt(), call.signal);
  } finally {
    await work.release();
  }
}

/** Copies or links all blobs of an image into a folder. Answers their digests. */
async function stageBlobs(
  folder: ImageFolder,
  image: OfferedImage,
  { blobs, call }: { blobs: string; call: TakeCall },
): Promise<string[]> {
  const { source, layers, digest } = image;
  const total = layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let done = 0;
  const report = (bytes: number): void => {
    done += bytes;
    call.onProgress?.({ step: 'layers', done, total, unit: 'bytes' });
  };
  for (const layer of new Map(layers.map((each) => [each.digest, each])).values()) {
    const staged = join(blobs, layer.digest);
    const isThere =
      (await isLinked(folder.blobs.path(layer.digest), staged)) ||
      (layer.ownPath !== undefined && (await isLinked(layer.ownPath, staged)));
    if (isThere) report(layer.sizeBytes);
    else await folder.blobs.stage(layer, blobs, { source, signal: call.signal, onBytes: report });
  }
  const config = await folder.blobs.stageData(image.configData, blobs);
  await folder.blobs.stageData(image.manifestData, blobs);
  return [...new Set([...layers.map((layer) => layer.digest), config, digest])];
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

interface TemplateWork {
  readonly source: string;
  readonly digest: string;
  readonly manifest: Manifest;
  readonly config: Config;
  /** Folder of the layers, by their digests. */
  readonly blobs: string;
  readonly work: string;
}

/** A template that is on the disk, and not in the store yet. */
interface MadeTemplate {
  /** Under the store's lock. */
  adopt(): Promise<void>;
}

/** Undefined when the store has the template, intact. */
async function makeTemplate(
  folder: ImageFolder,
  { source, digest, manifest, config, blobs, work }: TemplateWork,
  call: TakeCall,
): Promise<MadeTemplate | undefined> {
  if ((await folder.template(digest, call.signal)) !== undefined) return undefined;
  const image = imageConfigOf(config, { source, entry: manifest.config.digest });
  const template = join(work, 'template');
  await mkdir(template);
  await makeRootfs({
    source,
    layers: await layersOf(blobs, manifest, config.rootfs.diff_ids),
    layerNames: manifest.layers.map((layer) => layer.digest),
    folder: template,
    workDir: work,
    limits: call.limits,
    signal: call.signal,
    onProgress: (done, total) => call.onProgress?.({ step: 'root file system', done, total, unit: 'bytes' }),
  });
  await writeFile(join(template, IMAGE_FILE), JSON.stringify(image));
  const entries = folder.entries(call.signal);
  await entries.seal(template, { digest });
  return { adopt: () => entries.adopt('template', templateKey(digest), template) };
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
): Promise<{ manifest: Manifest; config: Config }> {
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
  blobs: string,
  { layers }: Manifest,
  diffIds: readonly string[],
): Promise<ImageLayer[]> {
  const files = new FolderFiles(blobs, blobs);
  return Promise.all(
    layers.map(async ({ digest, size }, index) => {
      const hex = hexOf(digest);
      const part = await files.open(hex);
      if (part === undefined) {
        throw imageInvalid({ source: blobs, entry: digest, reason: 'the store has no such blob' });
      }
      const compression = await compressionOf(part).finally(() => part.close());
      const path = join(blobs, hex);
      return { path, compression, digest: hex, sizeBytes: size, diffId: hexOf(diffIds[index] ?? '') };
    }),
  );
}
