import { createReadStream, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { expect } from 'vitest';
import {
  flattenLayers,
  openPipe,
  type FlattenedImage,
  type FlattenOptions,
  type ImageInvalidError,
  type ImageLayer,
} from '../dist/index.js';
import { temporaryFolder } from './fixture.js';
import { readStream, type StreamEntry } from './read-stream.js';

export interface Flattened {
  readonly result: FlattenedImage;
  readonly stream: Buffer;
  readonly entries: readonly StreamEntry[];
  /** By their paths. */
  readonly byPath: ReadonlyMap<string, StreamEntry>;
}

/** Layers of these archives, in files of their own. */
export function layerFiles(archives: readonly Buffer[]): ImageLayer[] {
  const folder = temporaryFolder();
  return archives.map((archive, index) => {
    const path = join(folder, `layer-${String(index)}`);
    writeFileSync(path, archive);
    return { path, compression: 'none' };
  });
}

/** Bytes of a layer's file that are packed, or say so. */
export interface PackedLayer {
  readonly bytes: Buffer;
  readonly compression: 'gzip' | 'zstd' | 'xz';
}

export type Source = ImageLayer | Buffer | PackedLayer;

function layerOf(source: Source): ImageLayer {
  if ('path' in source) return source;
  const [layer] = layerFiles([Buffer.isBuffer(source) ? source : source.bytes]);
  if (layer === undefined) throw new Error('there is no file of the layer');
  return Buffer.isBuffer(source) ? layer : { ...layer, compression: source.compression };
}

/** Flattens layers and reads what comes out; nothing may be left in the folder for the work. */
export async function flatten(
  sources: readonly Source[],
  options: Partial<FlattenOptions> = {},
): Promise<Flattened> {
  const layers = sources.map(layerOf);
  const workDir = temporaryFolder();
  const { read, write } = openPipe();
  const reading = buffer(createReadStream('', { fd: read }));
  const flattening = flattenLayers({ layers, workDir, output: write, ...options });
  const [flattened, streamed] = await Promise.allSettled([flattening, reading]);
  expect(readdirSync(workDir)).toEqual([]);
  if (flattened.status === 'rejected') throw flattened.reason;
  if (streamed.status === 'rejected') throw streamed.reason;
  const entries = readStream(streamed.value);
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  expect(byPath.size).toBe(entries.length);
  expect(flattened.value.streamBytes).toBe(streamed.value.length);
  return { result: flattened.value, stream: streamed.value, entries, byPath };
}

/** Why layers are refused; fails when they are not. */
export async function refusal(
  sources: readonly Source[],
  options: Partial<FlattenOptions> = {},
): Promise<ImageInvalidError> {
  const outcome: unknown = await flatten(sources, options).catch((error: unknown) => error);
  if (!(outcome instanceof Error)) throw new Error('the layers were accepted');
  expect(outcome).toMatchObject({ code: 'IMAGE_INVALID' });
  return outcome as ImageInvalidError;
}
