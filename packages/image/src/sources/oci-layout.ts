import { unsupported, VmRuntimeError } from '@microvm/runtime';
import { sha256 } from '../content/file-digest.js';
import {
  type Config,
  configSchema,
  type Descriptor,
  indexSchema,
  type Manifest,
  manifestSchema,
  parseDocument,
} from './documents.js';
import { type FilePart, type ImageFiles, readSmall, readWhole } from './image-files.js';
import { imageInvalid } from './invalid.js';
import { documentKind, layerProblem, REF_NAME } from './media-types.js';
import { hexOf, type OfferedBlob, type OfferedImage } from './offered-image.js';

const INDEX = 'index.json';
const MAX_NESTING = 4;
// In all indexes: a few that lead to each other could otherwise keep us busy for ever.
const MAX_DOCUMENTS = 1024;
const MAX_DOCUMENTS_BYTES = 64 * 1024 * 1024;
const PLATFORM = 'linux/amd64';

export interface LayoutOptions {
  /** Of the images in the layout that one; absent: the only one for linux/amd64. */
  readonly tag?: string | undefined;
  /** Where blobs are that are not in the layout itself: `sha256/<hex>` in a folder that layouts share. */
  readonly blobs?: { readonly files: ImageFiles; readonly prefix: string } | undefined;
}

interface Candidate {
  readonly digest: string;
  readonly tag: string | undefined;
  readonly manifest: Manifest;
  readonly manifestData: Buffer;
  readonly config: Config;
  readonly configData: Buffer;
}

/**
 * The image for linux/amd64 in an OCI layout, also from nested indexes.
 *
 * @throws MICROVM_IMAGE_INVALID, MICROVM_UNSUPPORTED when the layout has images for other platforms only,
 * MICROVM_INVALID_ARGUMENT when a tag is unknown, or needed
 */
export async function readOciLayout(files: ImageFiles, options: LayoutOptions = {}): Promise<OfferedImage> {
  return new LayoutReader(files, options).read();
}

class LayoutReader {
  readonly #files: ImageFiles;
  readonly #options: LayoutOptions;
  /** Platforms that were met and are not ours. */
  readonly #others = new Set<string>();
  #documents = 0;
  #documentsBytes = 0;

  constructor(files: ImageFiles, options: LayoutOptions) {
    this.#files = files;
    this.#options = options;
  }

  async read(): Promise<OfferedImage> {
    const { source } = this.#files;
    const data = await readSmall(this.#files, INDEX);
    if (data === undefined) throw imageInvalid({ source, entry: INDEX, reason: 'there is no such file' });
    const { manifests } = parseDocument(data, indexSchema, { source, entry: INDEX });
    const wanted = this.#tagged(manifests);
    const found = new Map<string, Candidate>();
    for (const descriptor of wanted) {
      for (const candidate of await this.#candidates(descriptor, 0)) found.set(candidate.digest, candidate);
    }
    const [first, ...more] = found.values();
    if (first === undefined) throw this.#nothing();
    if (more.length > 0) throw this.#ambiguous([first, ...more]);
    return this.#offer(first);
  }

  #tagged(manifests: readonly Descriptor[]): readonly Descriptor[] {
    const { tag } = this.#options;
    if (tag === undefined) return manifests;
    const tagged = manifests.filter(({ annotations }) => isTag(annotations?.[REF_NAME], tag));
    if (tagged.length > 0) return tagged;
    const there = manifests.flatMap(({ annotations }) => annotations?.[REF_NAME] ?? []);
    throw new VmRuntimeError(
      'MICROVM_INVALID_ARGUMENT',
      `image ${this.#files.source}: no tag "${tag}" in the layout, which has: ${there.join(', ') || 'none'}`,
      { details: { path: 'tag', expected: `one of ${there.join(', ') || 'none'}` } },
    );
  }

  async #candidates(descriptor: Descriptor, depth: number): Promise<readonly Candidate[]> {
    const kind = documentKind(descriptor.mediaType);
    if (kind === undefined || this.#isForOthers(descriptor)) return [];
    const data = await this.#document(descriptor);
    const entry = descriptor.digest;
    const { source } = this.#files;
    if (kind === 'manifest') return this.#candidate(descriptor, data);
    if (depth === MAX_NESTING) {
      throw imageInvalid({ source, entry, reason: `indexes are nested more than ${MAX_NESTING} deep` });
    }
    const { manifests } = parseDocument(data, indexSchema, { source, entry });
    const found: Candidate[] = [];
    for (const inner of manifests) {
      const tag = descriptor.annotations?.[REF_NAME];
      const annotations = tag === undefined ? inner.annotations : { [REF_NAME]: tag };
      found.push(...(await this.#candidates({ ...inner, annotations }, depth + 1)));
    }
    return found;
  }

  async #candidate(descriptor: Descriptor, manifestData: Buffer): Promise<readonly Candidate[]> {
    const { source } = this.#files;
    const origin = { source, entry: descriptor.digest };
    const manifest = parseDocument(manifestData, manifestSchema, origin);
    const configData = await this.#document(manifest.config);
    const config = parseDocument(configData, configSchema, { source, entry: manifest.config.digest });
    if (`${config.os}/${config.architecture}` !== PLATFORM) {
      this.#others.add(`${config.os}/${config.architecture}`);
      return [];
    }
    const tag = descriptor.annotations?.[REF_NAME];
    return [{ digest: hexOf(descriptor.digest), tag, manifest, manifestData, config, configData }];
  }

  /** A descriptor may say no platform; then the config of its image does. */
  #isForOthers({ platform }: Descriptor): boolean {
    if (platform === undefined) return false;
    const name = `${platform.os}/${platform.architecture}`;
    if (name === PLATFORM) return false;
    // What says so is no image: it tells how one was built.
    if (name !== 'unknown/unknown') this.#others.add(name);
    return true;
  }

  #offer({ digest, manifest, config, ...data }: Candidate): OfferedImage {
    const { source } = this.#files;
    const { layers } = manifest;
    const entry = `sha256:${digest}`;
    const count = config.rootfs.diff_ids.length;
    if (count !== layers.length) {
      const reason = `its config knows ${count} layers, its manifest ${layers.length}`;
      throw imageInvalid({ source, entry, reason });
    }
    for (const layer of layers) {
      const reason = layerProblem(layer.mediaType);
      if (reason !== undefined) throw imageInvalid({ source, entry: layer.digest, reason });
    }
    return { source, digest, manifest, config, ...data, layers: layers.map((layer) => this.#blob(layer)) };
  }

  #blob({ digest, size }: Descriptor): OfferedBlob {
    return { digest: hexOf(digest), sizeBytes: size, name: digest, open: () => this.#openBlob(digest) };
  }

  async #openBlob(digest: string): Promise<FilePart> {
    const { blobs } = this.#options;
    const hex = hexOf(digest);
    const part =
      (await blobs?.files.open(`${blobs.prefix}${hex}`)) ?? (await this.#files.open(`blobs/sha256/${hex}`));
    if (part !== undefined) return part;
    throw imageInvalid({ source: this.#files.source, entry: digest, reason: 'there is no such blob' });
  }

  async #document({ digest, size }: Descriptor): Promise<Buffer> {
    const { source } = this.#files;
    const hex = hexOf(digest);
    this.#documents += 1;
    this.#documentsBytes += size;
    if (this.#documents > MAX_DOCUMENTS || this.#documentsBytes > MAX_DOCUMENTS_BYTES) {
      const most = `${MAX_DOCUMENTS} documents of ${MAX_DOCUMENTS_BYTES} bytes in all`;
      throw imageInvalid({ source, entry: digest, reason: `its indexes lead to more than ${most}` });
    }
    const part = await this.#openBlob(digest);
    const data = await readWhole(part, { source, entry: digest });
    if (data.length !== size) {
      throw imageInvalid({ source, entry: digest, reason: `it has ${data.length} bytes, expected ${size}` });
    }
    const actual = sha256(data);
    if (actual === hex) return data;
    throw imageInvalid({ source, entry: digest, reason: `its digest is sha256:${actual}` });
  }

  #nothing(): VmRuntimeError {
    const { source } = this.#files;
    if (this.#others.size === 0) return imageInvalid({ source, reason: 'there is no image in it' });
    const others = [...this.#others].toSorted().join(', ');
    return unsupported(`image ${source} on ${PLATFORM}`, `the image for ${others}`);
  }

  #ambiguous(candidates: readonly Candidate[]): VmRuntimeError {
    const tags = candidates.map(({ tag, digest }) => tag ?? `sha256:${digest}`).join(', ');
    return new VmRuntimeError(
      'MICROVM_INVALID_ARGUMENT',
      `image ${this.#files.source}: several images for ${PLATFORM}: ${tags}`,
      { details: { path: 'tag', expected: `one of ${tags}` } },
    );
  }
}

/** Some programs write a whole reference where a tag belongs. */
function isTag(name: string | undefined, tag: string): boolean {
  return name === tag || name?.endsWith(`:${tag}`) === true;
}
