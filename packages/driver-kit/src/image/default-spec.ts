import { isAbsolute } from 'node:path';
import {
  ensureDefaultImage,
  IMAGE_SETTINGS,
  IMAGE_STORE_SETTINGS,
  type DefaultImageOptions,
  type ImageProgress,
} from '@microvm/image';
import type { Setting, VmSpec } from '@microvm/runtime';
import { z } from 'zod';

/** The options of a runtime that are about images, the default one and the user's, for its schema. */
export const imageOptionsShape = {
  imageStore: z.string().refine(isAbsolute, 'an absolute path').optional(),
  cacheDir: z.string().refine(isAbsolute, 'an absolute path').optional(),
  onImageProgress: z
    .custom<(progress: ImageProgress) => void>((value) => typeof value === 'function', 'a function')
    .optional(),
};

/** Settings of a runtime that are about images. */
export const RUNTIME_IMAGE_SETTINGS: readonly Setting[] = [...IMAGE_SETTINGS, ...IMAGE_STORE_SETTINGS];

/** What a VM needs of a spec to run the default image. */
export interface DefaultImageSpec {
  readonly kernelPath: string;
  readonly initrdPath: string;
  readonly rootDrive: { readonly path: string };
}

/** The default image as the spec of a VM; it is made first where it is not there yet. */
export async function defaultImageSpec(options?: DefaultImageOptions): Promise<DefaultImageSpec> {
  const { kernelPath, initrdPath, dataDiskPath } = await ensureDefaultImage(options);
  return { kernelPath, initrdPath, rootDrive: { path: dataDiskPath } };
}

/**
 * A runtime's defaults with those of the default image below them. A caller's kernel comes with the caller's
 * initrd and disk, or with none.
 */
export async function withDefaultImage(defaults: VmSpec, options?: DefaultImageOptions): Promise<VmSpec> {
  if (defaults.kernelPath !== undefined) return defaults;
  return { ...(await defaultImageSpec(options)), ...defaults };
}
