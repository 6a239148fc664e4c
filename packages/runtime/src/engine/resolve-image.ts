import { deepFreeze } from '../contract/deep-freeze.js';
import { invalidArgument, unsupported, VmRuntimeError } from '../contract/errors.js';
import { IMAGE_ROOT_SIZE_MIB } from '../contract/image-rules.js';
import type { ResolvedVmSpec } from '../contract/spec.js';
import type { ResolvedImage } from '../ports/images.js';
import { describeIssue } from './describe-issue.js';
import type { ImageDrives } from './driven-spec.js';
import type { EngineContext } from './engine-context.js';
import type { Job } from './job.js';
import type { SnapshotManifest } from './manifest.js';
import { vmImageSchema, type VmImage } from './vm-image.js';

/** An image while a VM is made from it: `release` lets the store of images have it back. */
export interface ImageInUse {
  readonly image: VmImage;
  readonly drives: ImageDrives;
  release(): void;
}

/**
 * What the image of a new VM's spec stands for now; undefined for a spec without an image. Errors:
 * UNSUPPORTED, IMAGE_NOT_FOUND, IMAGE_INVALID.
 */
export async function resolveImage(
  context: EngineContext,
  { image, rootSizeMib = IMAGE_ROOT_SIZE_MIB }: Pick<ResolvedVmSpec, 'image' | 'rootSizeMib'>,
  job: Job,
): Promise<ImageInUse | undefined> {
  if (image === undefined) return undefined;
  const resolved = await lookUp(context, image, job);
  try {
    const disk = await context.blankDisk({ sizeMib: rootSizeMib, signal: job.signal });
    const drives = { disk, rootfs: resolved.rootfsPath };
    return { image: checked(image, resolved), drives, release: () => resolved.release?.() };
  } catch (error) {
    resolved.release?.();
    throw error;
  }
}

/**
 * The image of a snapshot that is to be restored, where the store of images has it: by the name that the
 * caller gave, which must stand for the snapshot's image, else by the digest if `isWanted`. Errors:
 * INVALID_ARGUMENT for another image; those of `resolveImage` for a name of the caller's.
 */
export async function resolveCaptured(
  context: EngineContext,
  named: string | undefined,
  { image }: Pick<SnapshotManifest, 'image'>,
  { job, isWanted }: { readonly job: Job; readonly isWanted: boolean },
): Promise<ResolvedImage | undefined> {
  if (named === undefined) {
    if (image === undefined || !isWanted || context.images === undefined) return undefined;
    // Without it, it is the file of the snapshot that is missing, which the caller is told.
    return lookUp(context, image.digest, job).catch(() => {
      job.signal.throwIfAborted();
      return undefined;
    });
  }
  const resolved = await lookUp(context, named, job);
  if (resolved.digest === image?.digest) return resolved;
  resolved.release?.();
  const held = image === undefined ? 'nothing' : `the image ${image.digest}`;
  throw invalidArgument('spec.image', `what the snapshot holds: ${held}`);
}

function lookUp({ images }: EngineContext, reference: string, job: Job): Promise<ResolvedImage> {
  if (images === undefined) throw unsupported('spec.image');
  return images.resolve(reference, {
    signal: job.signal,
    progress: (progress) => job.progress(progress),
  });
}

/** Nothing enters a record that the next process could not read. */
function checked(source: string, { digest, config }: ResolvedImage): VmImage {
  const parsed = vmImageSchema.safeParse({ digest, config });
  if (parsed.success) return deepFreeze(parsed.data);
  const reason = describeIssue(parsed.error);
  throw new VmRuntimeError('MICROVM_IMAGE_INVALID', `image "${source}": ${reason}`, {
    details: { source, reason },
  });
}
