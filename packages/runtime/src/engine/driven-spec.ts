import { IMAGE_ARGUMENT, IMAGE_DRIVE_ID, INIT_ARGUMENT } from '../contract/image-rules.js';
import type { ResolvedVmSpec } from '../contract/spec.js';
import type { Content } from '../ports/content.js';
import type { PinnedFiles } from './manifest.js';
import { withPinned } from './pinned-files.js';
import type { VmImage } from './vm-image.js';

/** The name of an image's file among the pinned ones. */
export const IMAGE_FILE = `drives.${IMAGE_DRIVE_ID}`;

/** Where the drives come from that a spec with an image does not name. */
export interface ImageDrives {
  /** The source of the root drive. */
  readonly disk: string;
  readonly rootfs: string;
}

/**
 * The spec as drivers see it, who know nothing but drives: an image is a shared drive behind an empty root
 * drive, and a kernel argument that names it.
 */
export function withImage(spec: ResolvedVmSpec, from: ImageDrives | undefined): ResolvedVmSpec {
  const { image: _name, imageInit: _init, rootSizeMib, ...rest } = spec;
  const rootDrive = from === undefined ? spec.rootDrive : { path: from.disk };
  const grown = rootSizeMib === undefined ? {} : { sizeMib: rootSizeMib };
  return {
    ...rest,
    ...(rootDrive === undefined ? {} : { rootDrive: { ...rootDrive, ...grown } }),
    ...(from === undefined ? {} : imageFields(spec, from)),
  };
}

function imageFields(
  { bootArgs, drives = [], imageInit = 'agent' }: ResolvedVmSpec,
  { rootfs }: ImageDrives,
): Pick<ResolvedVmSpec, 'bootArgs' | 'drives'> {
  const added = imageInit === 'image' ? `${IMAGE_ARGUMENT} ${INIT_ARGUMENT}` : IMAGE_ARGUMENT;
  return {
    bootArgs:
      bootArgs !== undefined && 'replace' in bootArgs
        ? { replace: `${bootArgs.replace} ${added}` }
        : { append: bootArgs === undefined ? added : `${bootArgs.append} ${added}` },
    drives: [{ driveId: IMAGE_DRIVE_ID, path: rootfs, mode: 'shared' }, ...drives],
  };
}

/** What of a VM's record its drives follow from. */
export interface RecordedDrives {
  readonly spec: ResolvedVmSpec;
  readonly image?: VmImage | undefined;
  readonly pinned: PinnedFiles;
}

/**
 * The spec of a VM that is there, as its driver sees it: files that the VM only reads are the store's own.
 * `disk` is the source of its root drive, where that is still to be made. A driver without a store of files
 * gets an image's digest in the place of a path.
 */
export function drivenSpec(
  { spec, image, pinned }: RecordedDrives,
  content: Content | undefined,
  disk: string,
): ResolvedVmSpec {
  const driven = withImage(spec, image && { disk, rootfs: image.digest });
  return content === undefined ? driven : withPinned(driven, pinned, content);
}
