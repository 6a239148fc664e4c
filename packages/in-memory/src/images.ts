import { createHash } from 'node:crypto';
import {
  VmRuntimeError,
  withoutUndefined,
  type ImageConfig,
  type Images,
  type ResolvedImage,
} from '@microvm/runtime';
import { z } from 'zod';
import type { DiskContent } from './fs/disk-content.js';

const text = z.string().regex(/^[^\0]*$/, 'text without NUL');

export const imageSchema = z.strictObject({
  /** Its files by their absolute path, beside the programs and folders that every guest in memory has. */
  files: z.record(z.string().regex(/^\//, 'an absolute path'), z.string()).optional(),
  env: z.record(text, text).optional(),
  entrypoint: z.array(text).readonly().optional(),
  cmd: z.array(text).readonly().optional(),
  workingDir: text.optional(),
  user: text.optional(),
  stopSignal: text.optional(),
});

/** An image in memory. */
export type ImageInMemory = Readonly<z.infer<typeof imageSchema>>;

export const imagesSchema = z.record(z.string(), imageSchema);

interface Stored {
  readonly files: DiskContent;
  readonly config: ImageConfig;
}

/** Images by name, as a store keeps them: a name may come to stand for another image, a digest cannot. */
export class ImagesInMemory implements Images {
  readonly #byName = new Map<string, string>();
  readonly #byDigest = new Map<string, Stored>();

  /** Makes the name stand for this image from now on; answers with the image's digest. */
  tag(name: string, image: ImageInMemory): string {
    const parsed = imageSchema.parse(image);
    const digest = `sha256:${createHash('sha256').update(JSON.stringify(parsed)).digest('hex')}`;
    this.#byName.set(name, digest);
    this.#byDigest.set(digest, { files: bytesOf(parsed.files ?? {}), config: configOf(parsed) });
    return digest;
  }

  /** Takes a name away. VMs that were made from its image go on. */
  untag(name: string): void {
    this.#byName.delete(name);
  }

  async resolve(reference: string, { signal }: { readonly signal: AbortSignal }): Promise<ResolvedImage> {
    signal.throwIfAborted();
    const digest = this.#byName.get(reference) ?? reference;
    const found = this.#byDigest.get(digest);
    if (found === undefined) {
      throw new VmRuntimeError('MICROVM_IMAGE_NOT_FOUND', `no image "${reference}"`, {
        details: { image: reference },
      });
    }
    // There is no file: the driver looks the digest up.
    return { digest, rootfsPath: digest, config: found.config };
  }

  /** For the driver: what the image of this digest holds. */
  filesOf(digest: string): DiskContent | undefined {
    return this.#byDigest.get(digest)?.files;
  }
}

/** Makes images for `createInMemoryRuntime({ images })`, to which more can be added. */
export function createImages(images: Readonly<Record<string, ImageInMemory>> = {}): ImagesInMemory {
  const made = new ImagesInMemory();
  for (const [name, image] of Object.entries(images)) made.tag(name, image);
  return made;
}

function configOf({ files: _files, ...config }: ImageInMemory): ImageConfig {
  return { env: {}, workingDir: '', user: '', entrypoint: [], cmd: [], ...withoutUndefined(config) };
}

/** Disks hold bytes, options text. */
export function bytesOf(files: Readonly<Record<string, string>>): DiskContent {
  return Object.fromEntries(
    Object.entries(files).map(([path, content]) => [path, Buffer.from(content).toString('latin1')]),
  );
}
