import { invalidArgument, isVmRuntimeError, unsupported, VmRuntimeError } from '../contract/errors.js';
import { IMAGE_DRIVE_ID } from '../contract/image-rules.js';
import { resolveVmSpec, type ResolvedVmSpec, type VmSpec } from '../contract/spec.js';
import type { VerbArgs } from '../contract/verbs.js';
import type { RestoreSource } from '../ports/driver.js';
import { featureOf } from './driver-features.js';
import { IMAGE_FILE, withImage } from './driven-spec.js';
import type { EngineContext } from './engine-context.js';
import type { Job } from './job.js';
import type { PinnedFiles, SnapshotManifest } from './manifest.js';
import { NOTHING_PINNED, pinFiles, readOnlyFiles, type Pinned } from './pinned-files.js';
import { resolveCaptured, resolveImage, type ImageInUse } from './resolve-image.js';
import { pinRestored } from './restored-files.js';
import { restoredSpec } from './restored-spec.js';
import { hasAny, refuseRootDisk, refuseUnsupported } from './spec-features.js';
import type { VmImage } from './vm-image.js';

type CreateArgs = VerbArgs<'createVm'>;

/** Something that a store keeps until it is released. */
interface Hold {
  release?(): void;
}

/** What a new VM is made of. */
export interface Plan {
  readonly args: CreateArgs;
  readonly spec: ResolvedVmSpec;
  readonly pinned: PinnedFiles;
  readonly image: VmImage | undefined;
  /** The source of the root drive of a VM with an image. */
  readonly disk: string;
  readonly source: RestoreSource | undefined;
  /** The snapshot whose settings its agent has. */
  readonly captured: Pick<SnapshotManifest, 'spec' | 'secrets'> | undefined;
  /** The files and the image: to be released once the VM's record names them. */
  readonly holds: readonly Hold[];
}

/** Errors: those of `createVm` before any effect. */
export async function planNew(context: EngineContext, args: CreateArgs, job: Job): Promise<Plan> {
  const spec = resolveVmSpec(args.spec, context.defaults);
  refuseSpec(context, spec, args.spec);
  const inUse = await resolveImage(context, spec, job);
  try {
    await checkSpec(context, withImage(spec, inUse?.drives), args.spec);
    const pinned = await pinNew(context, spec, inUse, job.signal);
    return {
      ...{ args, spec, pinned: pinned.files, image: inUse?.image, disk: inUse?.drives.disk ?? '' },
      ...{ source: undefined, captured: undefined },
      holds: [pinned, inUse ?? {}],
    };
  } catch (error) {
    inUse?.release();
    throw error;
  }
}

/** Errors: those of `createVm` with `restoreFrom` before any effect. */
export async function planRestored(
  context: EngineContext,
  args: CreateArgs,
  { manifest, job }: { readonly manifest: SnapshotManifest; readonly job: Job },
): Promise<Plan> {
  const { store, defaults } = context;
  const { image } = manifest;
  if (hasAny(args.spec.networkOverrides) && !context.capabilities.networkOverrides)
    throw unsupported('spec.networkOverrides');
  const directory = store.snapshotDirectory(manifest.snapshotUid) ?? manifest.snapshotUid;
  const spec = restoredSpec({ given: args.spec, defaults, manifest, directory });
  refuseSpec(context, spec, args.spec);
  const driven = withImage(spec, image && { disk: directory, rootfs: image.digest });
  await checkSpec(context, driven, args.spec);
  const source = await checkSource(context, { given: args.spec, manifest, spec: driven }, job.signal);
  const { pinned, holds } = await pinOffered(context, args.spec, { manifest, job });
  return { args, spec, pinned, image, disk: directory, source, captured: manifest, holds };
}

/** Nothing may change or remove what the VM is going to read: from here on it reads the store's own files. */
function pinNew(
  { content }: EngineContext,
  spec: ResolvedVmSpec,
  inUse: ImageInUse | undefined,
  signal: AbortSignal,
): Promise<Pinned> {
  if (content === undefined) return Promise.resolve(NOTHING_PINNED);
  const ofImage =
    inUse === undefined ? [] : [{ name: IMAGE_FILE, field: 'spec.image', path: inUse.drives.rootfs }];
  return pinFiles(content, [...readOnlyFiles(spec), ...ofImage], signal);
}

/** What a restored VM reads: from the store, else what the caller or the store of images offers. */
async function pinOffered(
  context: EngineContext,
  given: VmSpec,
  { manifest, job }: { readonly manifest: SnapshotManifest; readonly job: Job },
): Promise<Pick<Plan, 'pinned' | 'holds'>> {
  const { content } = context;
  const file = manifest.pinned[IMAGE_FILE];
  const isWanted = file !== undefined && (await content?.has(file.digest)) === false;
  const found = await resolveCaptured(context, given.image, manifest, { job, isWanted });
  try {
    const isGuess = given.image === undefined;
    const ofImage =
      found === undefined || content === undefined
        ? []
        : [{ name: IMAGE_FILE, field: 'spec.image', path: found.rootfsPath, isGuess }];
    const offered = [...readOnlyFiles(given), ...ofImage];
    const pinned = await pinRestored(content, offered, manifest, job.signal);
    return { pinned: pinned.files, holds: [pinned, found ?? {}] };
  } catch (error) {
    found?.release?.();
    throw error;
  }
}

/** Refuses what the runtime cannot do. */
function refuseSpec({ capabilities }: EngineContext, spec: ResolvedVmSpec, given: VmSpec): void {
  // Nothing could ever let such a VM go on.
  if (given.resumeImmediately === false && !capabilities.pause) throw unsupported('spec.resumeImmediately');
  if (hasAny(Object.keys(spec.env ?? {})) && !capabilities.guestAgent) throw unsupported('spec.env');
  refuseUnsupported(spec, capabilities);
  refuseRootDisk(spec);
  const { secrets = {} } = given;
  if (hasAny(Object.keys(secrets)) && !capabilities.guestAgent) throw unsupported('spec.secrets');
  // What a rule about other fields has let pass: the snapshot's guest has no agent.
  if (hasAny(Object.keys(secrets)) && spec.agent === 'none')
    throw invalidArgument('spec.secrets', 'nothing with agent: "none"');
}

/** Lets the driver refuse what it or this host cannot do, before any effect. */
async function checkSpec({ driver }: EngineContext, driven: ResolvedVmSpec, given: VmSpec): Promise<void> {
  const { secrets: _values, ...others } = given;
  await driver.checkSpec(driven, others).catch((error: unknown) => {
    throw asCallersDrive(error, driven);
  });
}

/** The driver counts the image's drive, the caller's spec does not have it. */
function asCallersDrive(error: unknown, { drives = [] }: ResolvedVmSpec): unknown {
  if (drives[0]?.driveId !== IMAGE_DRIVE_ID || !isVmRuntimeError(error, 'MICROVM_INVALID_ARGUMENT'))
    return error;
  const { path, expected } = error.details;
  const [field = '', index] = /^spec\.drives\[(\d+)\]/.exec(path) ?? [];
  if (index === undefined) return error;
  const callers = index === '0' ? 'spec.image' : `spec.drives[${Number(index) - 1}]`;
  const renamed = path.replace(field, callers);
  return invalidArgument(renamed, expected, error.message.replace(path, renamed));
}

interface Restoration {
  readonly given: VmSpec;
  readonly manifest: SnapshotManifest;
  readonly spec: ResolvedVmSpec;
}

async function checkSource(
  context: EngineContext,
  { given, manifest, spec }: Restoration,
  signal: AbortSignal,
): Promise<RestoreSource> {
  const { snapshotUid, parts, vmmVersion, compatibility } = manifest;
  if (manifest.driver !== context.driver.name) {
    throw incompatible(
      snapshotUid,
      `it was taken by driver "${manifest.driver}", this is "${context.driver.name}"`,
    );
  }
  const source: RestoreSource = {
    snapshotUid,
    directory: context.store.snapshotDirectory(snapshotUid),
    memory: manifest.kind === 'memory',
    parts,
    vmmVersion,
    compatibility,
    networkOverrides: given.networkOverrides ?? [],
  };
  await featureOf(context.driver, 'snapshots').checkSnapshot(source, spec);
  await context.catalogue.verify(manifest, { full: false, signal });
  return source;
}

function incompatible(snapshotUid: string, reason: string): VmRuntimeError {
  return new VmRuntimeError('MICROVM_SNAPSHOT_INCOMPATIBLE', `restore snapshot ${snapshotUid}: ${reason}`, {
    details: { snapshotUid, reason },
  });
}
