import type { ResolvedVmSpec, VmSpec } from './spec.js';

/** The drive that holds the image of a VM: the first one behind the root drive. */
export const IMAGE_DRIVE_ID = 'image';

/**
 * What tells a guest's agent which disk is the image. virtio-blk names disks in the order of the drives: the
 * root drive is /dev/vda, the image is behind it.
 */
export const IMAGE_ARGUMENT = 'microvm.image=/dev/vdb';

/** What tells it that the image's own init is process 1. */
export const INIT_ARGUMENT = 'microvm.init=image';

/** The size of the root disk of a VM with an image whose spec says nothing of it. */
export const IMAGE_ROOT_SIZE_MIB = 1024;

// With less there is no room for a journal, without which a killed guest finds a damaged file system.
const MIN_ROOT_SIZE_MIB = 16;

// The kernel cuts its command line at 2,048 characters, of which the drivers' own arguments take some. Ours
// is the last: without it the guest would boot without its image, and say nothing.
const MAX_BOOT_ARGS = 1024;

/** What the rules look at: also a spec without the paths of a host. */
export type SpecOfImageRules = Omit<VmSpec, 'rootDrive' | 'drives' | 'networkInterfaces'> & {
  readonly rootDrive?: Pick<NonNullable<VmSpec['rootDrive']>, 'mode' | 'sizeMib'> | undefined;
  readonly drives?: readonly { readonly driveId: string }[] | undefined;
};

type Rule = readonly [path: string, expected: string, broken: (spec: SpecOfImageRules) => boolean];

/** What `image` and `rootSizeMib` ask of the fields beside them. */
export const IMAGE_RULES: readonly Rule[] = [
  [
    'rootDrive',
    'nothing beside image: the VM gets an empty disk of its own for what it writes',
    ({ image, rootDrive }) => image !== undefined && rootDrive !== undefined,
  ],
  [
    'agent',
    '"required" beside image: the agent is what mounts the image',
    ({ image, agent }) => image !== undefined && agent === 'none',
  ],
  [
    'drives',
    `other drive ids than "${IMAGE_DRIVE_ID}", the image's own`,
    ({ image, drives = [] }) =>
      image !== undefined && drives.some(({ driveId }) => driveId === IMAGE_DRIVE_ID),
  ],
  [
    'bootArgs',
    `at most ${MAX_BOOT_ARGS} characters with an image, whose own argument is behind them`,
    ({ image, bootArgs = {} }) =>
      image !== undefined && Object.values(bootArgs).some((text) => text.length > MAX_BOOT_ARGS),
  ],
  [
    'imageInit',
    'an image beside it',
    ({ image, imageInit }) => image === undefined && imageInit !== undefined,
  ],
  [
    'rootSizeMib',
    `${MIN_ROOT_SIZE_MIB} or more with an image`,
    ({ image, rootSizeMib = MIN_ROOT_SIZE_MIB }) => image !== undefined && rootSizeMib < MIN_ROOT_SIZE_MIB,
  ],
  [
    'rootSizeMib',
    'nothing beside rootDrive.sizeMib, which says the same',
    ({ rootSizeMib, rootDrive }) => rootSizeMib !== undefined && rootDrive?.sizeMib !== undefined,
  ],
  [
    'rootSizeMib',
    'nothing beside a shared rootDrive, which has the size of its file',
    ({ rootSizeMib, rootDrive }) => rootSizeMib !== undefined && rootDrive?.mode === 'shared',
  ],
];

type RootFields = Partial<Pick<VmSpec, 'image' | 'imageInit' | 'rootDrive' | 'rootSizeMib'>>;

/**
 * The runtime's defaults for a VM, without what the VM's own root drive or image takes the place of: an image
 * by default gives way to a root drive of the spec, and the other way round.
 */
export function defaultsBeside<S extends RootFields>(given: RootFields, defaults: S): S {
  const left = { ...defaults };
  if (given.rootDrive !== undefined && given.image === undefined) {
    delete left.image;
    delete left.imageInit;
    delete left.rootSizeMib;
  } else if ((given.image ?? left.image) !== undefined) {
    delete left.rootDrive;
  }
  return left;
}

/** The image of a spec as drivers see it; undefined: the guest has none. */
export function imageDriveOf({
  bootArgs,
  drives = [],
}: Pick<ResolvedVmSpec, 'bootArgs' | 'drives'>): NonNullable<ResolvedVmSpec['drives']>[number] | undefined {
  const isNamed = Object.values(bootArgs ?? {}).some((text) => text.split(' ').includes(IMAGE_ARGUMENT));
  return isNamed && drives[0]?.driveId === IMAGE_DRIVE_ID ? drives[0] : undefined;
}
