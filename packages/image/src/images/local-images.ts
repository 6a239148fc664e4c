import { mkdir } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import type { FlattenLimits } from '@microvm/native';
import {
  type Images,
  invalidArgument,
  type ResolveCall,
  type ResolvedImage,
  resolveOptions,
  type Setting,
  VmRuntimeError,
} from '@microvm/runtime';
import { z } from 'zod';
import { toContractError } from '../host/host-errors.js';
import { xdgFolder } from '../host/xdg-folder.js';
import type { OnImageProgress } from '../progress.js';
import {
  registryFailure,
  registryName,
  type RegistryCall,
  type RegistryOptions,
} from '../registry/skopeo.js';
import { pullImage } from '../registry/pull.js';
import { pushImage } from '../registry/push.js';
import { hexOf, type OfferedImage } from '../sources/offered-image.js';
import { openSource } from '../sources/open-source.js';
import { collectGarbage, type GcOptions, type GcResult } from './collect-garbage.js';
import { describeImage, type ImageDescription, type ImageSummary, listImages } from './describe-images.js';
import { ImageFolder, type Template } from './image-folder.js';
import { normalName, parseReference } from './reference.js';
import { type BuildConfig, imageOfRootfs } from './rootfs-image.js';
import { remakeTemplate, takeImage, type TakeCall } from './take-image.js';
import type { ImageUser } from './users.js';
import { type ImageProblem, verifyImages } from './verify-images.js';

export interface ImagesOptions {
  /** Default: `$MICROVM_IMAGE_STORE`, else `$XDG_DATA_HOME/microvm/images`, else below `~/.local/share`. */
  readonly imageStore?: string | undefined;
  /**
   * A state directory whose VMs and snapshots need images of the store; registered by each `resolve`.
   */
  readonly stateDir?: string | undefined;
}

/** Settings of a user's images. */
export const IMAGE_STORE_SETTINGS: readonly Setting[] = [
  {
    option: 'imageStore',
    env: 'MICROVM_IMAGE_STORE',
    type: 'path',
    default: '$XDG_DATA_HOME/microvm/images, else ~/.local/share/microvm/images',
    meaning: 'Folder of the images that VMs are made from, shared by all runtimes of this user; absolute.',
  },
];

const optionsSchema = z.strictObject({
  imageStore: z.string().refine(isAbsolute, 'an absolute path').optional(),
  stateDir: z.string().refine(isAbsolute, 'an absolute path').optional(),
});

export interface ImportCall extends TakeCall {
  /** Bounds of what an image may have, for images that strangers made. */
  readonly limits?: Partial<FlattenLimits> | undefined;
}

export interface PullCall extends ImportCall, RegistryOptions {
  /** Name that the image gets here; default: the reference itself. */
  readonly as?: string | undefined;
}

/** A name that was given up. */
export interface ReleasedName {
  readonly name: string;
  readonly digest: string;
  /** Names that the image still has. */
  readonly names: readonly string[];
  /** Who still needs the image: it stays as long as there is one. */
  readonly users: readonly ImageUser[];
}

/**
 * The images of this user. Nothing is touched before the first call.
 *
 * @throws MICROVM_INVALID_ARGUMENT
 */
export function openImages(options: ImagesOptions = {}): LocalImages {
  const { imageStore, stateDir } = resolveOptions(optionsSchema, IMAGE_STORE_SETTINGS, options);
  return new LocalImages(imageStore ?? join(xdgFolder('data', process.env), 'images'), stateDir);
}

/**
 * Images in a folder that all processes of a user may work on at once. Whatever is killed when: names keep
 * their old or get their new meaning, images are whole or absent, and the next call sweeps what is half made.
 * An abort rejects with the signal's reason and leaves nothing.
 */
export class LocalImages implements Images {
  readonly #folder: ImageFolder;
  readonly #stateDir: string | undefined;

  constructor(imageStore: string, stateDir?: string) {
    this.#folder = new ImageFolder(resolve(imageStore));
    this.#stateDir = stateDir === undefined ? undefined : resolve(stateDir);
  }

  /** As of the port. A template that is missing or damaged is made again from the image's layers. */
  resolve(reference: string, call: ResolveCall): Promise<ResolvedImage> {
    const { signal, progress } = call;
    const onProgress: OnImageProgress | undefined =
      progress &&
      (({ step, done, total, unit }) =>
        progress({ step: `image: ${step}`, done, total, unit: unit === 'bytes' ? 'bytes' : 'steps' }));
    return this.#run(`resolve image "${reference}"`, signal, async () => {
      if (this.#stateDir !== undefined) await this.#folder.users.register(this.#stateDir);
      const { digest, release } = await this.#hold(reference, signal);
      try {
        const template = await this.#template(digest, { signal, onProgress });
        const { rootfsPath, config } = template;
        // A hold that cannot be removed ends with this process.
        const letGo = (): void => void release().catch(() => undefined);
        return { digest: `sha256:${digest}`, rootfsPath, config, release: letGo };
      } catch (error) {
        await release();
        throw error;
      }
    });
  }

  /**
   * Brings an image in from `oci:FOLDER[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:TAG]`,
   * `rootfs:FILE-OR-FOLDER`, or a path, of which it finds out what it is. Gives the image a name, which moves
   * from the image that had it.
   *
   * @throws MICROVM_IMAGE_INVALID, MICROVM_UNSUPPORTED (no image for linux/amd64), MICROVM_INVALID_ARGUMENT,
   * MICROVM_NO_SPACE, MICROVM_HOST_UNSUPPORTED (no sqfstar), MICROVM_HOST_FAILURE
   */
  import(source: string, name: string, call: ImportCall = {}): Promise<ImageDescription> {
    const normal = normalName(name);
    return this.#run(`import image "${source}"`, call.signal, () => this.#import(source, normal, call));
  }

  /** Makes an image of one layer from a folder or a tar archive. Errors as of `import`. */
  build(
    rootfs: string,
    name: string,
    call: ImportCall & { config?: BuildConfig | undefined } = {},
  ): Promise<ImageDescription> {
    const normal = normalName(name);
    const { config = {} } = call;
    return this.#run(`build image "${rootfs}"`, call.signal, () =>
      this.#import(`rootfs:${rootfs}`, normal, call, config),
    );
  }

  /**
   * Fetches an image by skopeo: a reference such as `debian:12` or `registry:5000/app`, or one of skopeo's
   * own, such as `docker-daemon:app:latest` or `containers-storage:app`. Layers that the store has are not
   * fetched again.
   *
   * @throws as `import`; MICROVM_HOST_UNSUPPORTED without skopeo, MICROVM_HOST_FAILURE for what it says
   */
  pull(reference: string, call: PullCall = {}): Promise<ImageDescription> {
    const named = call.as ?? registryName(reference);
    if (named === undefined) throw invalidArgument('as', `a name for the image of "${reference}"`);
    const name = normalName(named, call.as === undefined ? 'reference' : 'as');
    return this.#run(`pull image "${reference}"`, call.signal, () =>
      this.#withWork(async (workDir) => {
        const image = await pullImage(this.#folder, { reference, workDir, call });
        return this.#take(image, name, call);
      }),
    );
  }

  /**
   * Sends an image to a registry, as skopeo names it; default: the image's own name. Answers the digest that
   * the image has there, which is another one when skopeo has packed a layer.
   *
   * @throws MICROVM_IMAGE_NOT_FOUND, MICROVM_IMAGE_INVALID (a blob of the store is missing or damaged),
   * MICROVM_HOST_UNSUPPORTED without skopeo, MICROVM_HOST_FAILURE for what it says
   */
  push(reference: string, to?: string, call: RegistryCall = {}): Promise<{ digest: string; to: string }> {
    return this.#run(`push image "${reference}"`, call.signal, async () => {
      const { digest, release } = await this.#hold(reference, call.signal);
      try {
        const target = to ?? reference;
        const pushed = await this.#withWork((workDir) =>
          pushImage(this.#folder, { digest, to: target, workDir, call }),
        );
        return { digest: pushed, to: target };
      } finally {
        await release();
      }
    });
  }

  /**
   * Gives an image another name, which moves from the image that had it.
   *
   * @throws MICROVM_IMAGE_NOT_FOUND, MICROVM_INVALID_ARGUMENT
   */
  tag(reference: string, name: string): Promise<void> {
    const normal = normalName(name);
    return this.#run(`tag image "${reference}"`, undefined, async () => {
      const { digest, release } = await this.#hold(reference);
      try {
        await this.#folder.names.set(normal, `sha256:${digest}`);
      } finally {
        await release();
      }
    });
  }

  /**
   * All images, those with a name first.
   *
   * @throws MICROVM_STATE_CORRUPT for a name that cannot be read; so do all calls that look at all names
   */
  list(): Promise<ImageSummary[]> {
    return this.#run('list images', undefined, () => listImages(this.#folder));
  }

  /** @throws MICROVM_IMAGE_NOT_FOUND; MICROVM_IMAGE_INVALID when its manifest or config is damaged */
  describe(reference: string): Promise<ImageDescription> {
    return this.#run(`describe image "${reference}"`, undefined, async () =>
      describeImage(this.#folder, await this.#find(reference)),
    );
  }

  /**
   * Reads an image, or all of them, whole. Answers what is missing or damaged.
   *
   * @throws MICROVM_IMAGE_NOT_FOUND
   */
  verify(reference?: string, call: { signal?: AbortSignal | undefined } = {}): Promise<ImageProblem[]> {
    return this.#run('verify images', call.signal, async () => {
      const digest = reference === undefined ? undefined : await this.#find(reference);
      return verifyImages(this.#folder, digest, call.signal);
    });
  }

  /**
   * Gives up a name. The image stays as long as something needs it, and until `gc`.
   *
   * @throws MICROVM_IMAGE_NOT_FOUND
   */
  release(name: string): Promise<ReleasedName> {
    return this.#run(`release image "${name}"`, undefined, async () => {
      const normal = normalName(name);
      const digest = await this.#find(normal);
      const { users } = await this.#folder.users.uses();
      if (!(await this.#folder.names.remove(normal))) throw await this.#notFound(name);
      const left = (await this.#folder.names.list()).filter((other) => hexOf(other.digest) === digest);
      const names = left.map((other) => other.name);
      return { name: normal, digest: `sha256:${digest}`, names, users: users.get(digest) ?? [] };
    });
  }

  /**
   * Removes what nothing needs, under the store's lock. While a state directory cannot be read, nothing but
   * what was half made is removed, and the answer names the directory.
   */
  gc(options: GcOptions = {}): Promise<GcResult> {
    return this.#run('collect unused images', options.signal, () => collectGarbage(this.#folder, options));
  }

  async #import(
    source: string,
    name: string,
    call: ImportCall,
    config?: BuildConfig,
  ): Promise<ImageDescription> {
    return this.#withWork(async (workDir) => {
      const opened = await openSource(source, { workDir, signal: call.signal });
      try {
        const image = opened.image ?? (await imageOfRootfs(opened.rootfs, { source, workDir, config, call }));
        return await this.#take(image, name, call);
      } finally {
        await opened.close();
      }
    });
  }

  /** The image is held from before its first blob is there until its name leads to it. */
  async #take(image: OfferedImage, name: string, call: ImportCall): Promise<ImageDescription> {
    const { digest } = image;
    const release = await this.#folder.underLock(() => this.#folder.holds.hold(digest), call.signal);
    try {
      await takeImage(this.#folder, image, call);
      call.signal?.throwIfAborted();
      await this.#folder.names.set(name, `sha256:${digest}`);
      return await describeImage(this.#folder, digest);
    } finally {
      await release();
    }
  }

  async #template(digest: string, call: TakeCall): Promise<Template> {
    const known = await this.#folder.template(digest, call.signal);
    if (known !== undefined) return known;
    await remakeTemplate(this.#folder, digest, call);
    const made = await this.#folder.template(digest, call.signal);
    if (made === undefined) throw new Error(`the template of sha256:${digest} was changed while it was made`);
    return made;
  }

  /** Finds an image and holds it in one step: nothing can remove it in between. */
  #hold(reference: string, signal?: AbortSignal): Promise<{ digest: string; release: () => Promise<void> }> {
    return this.#folder.underLock(async () => {
      const digest = await this.#find(reference);
      return { digest, release: await this.#folder.holds.hold(digest) };
    }, signal);
  }

  /** The digest that a reference stands for, in hex. */
  async #find(reference: string): Promise<string> {
    const parsed = parseReference(reference);
    if (parsed.kind === 'name') {
      const found = await this.#folder.names.get(parsed.name);
      if (found !== undefined) return hexOf(found.digest);
      throw await this.#notFound(reference);
    }
    const digest = hexOf(parsed.digest);
    const isThere = (await this.#folder.blobs.has(digest)) || (await this.#folder.hasTemplate(digest));
    if (isThere) return digest;
    throw await this.#notFound(reference);
  }

  async #notFound(reference: string): Promise<VmRuntimeError> {
    const names = (await this.#folder.names.list()).map(({ name }) => name);
    const there = names.length === 0 ? 'there are none' : `there are: ${names.slice(0, 10).join(', ')}`;
    const more = names.length > 10 ? ` and ${names.length - 10} more` : '';
    return new VmRuntimeError('MICROVM_IMAGE_NOT_FOUND', `no image "${reference}"; ${there}${more}`, {
      details: { image: reference },
      remedy:
        `fetch it: npx microvm-image pull ${reference}, ` +
        `or bring it in: npx microvm-image import SOURCE ${reference}`,
    });
  }

  async #withWork<T>(work: (workDir: string) => Promise<T>): Promise<T> {
    const folder = await this.#folder.newWork();
    try {
      const workDir = join(folder.path, 'own');
      await mkdir(workDir);
      return await work(workDir);
    } finally {
      await folder.release();
    }
  }

  async #run<T>(operation: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    try {
      signal?.throwIfAborted();
      await this.#folder.open();
      return await work();
    } catch (error) {
      const path = join(this.#folder.root, 'work');
      throw await toContractError(registryFailure(error, operation), { operation, path, signal });
    }
  }
}
