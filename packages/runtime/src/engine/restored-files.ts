import { invalidArgument, VmRuntimeError } from '../contract/errors.js';
import type { Content } from '../ports/content.js';
import { IMAGE_FILE } from './driven-spec.js';
import type { PinnedFile, SnapshotManifest } from './manifest.js';
import { NOTHING_PINNED, pinFiles, type Pinned, type ReadOnlyFile } from './pinned-files.js';

/**
 * The files that a restored VM reads: by the digests of the snapshot, from the store or, where the store does
 * not have one, from those that are offered. Memory needs shared drives alone: kernel and initrd are looked
 * at when the VM boots again. Errors: SNAPSHOT_INCOMPATIBLE for a file that is not there; INVALID_ARGUMENT
 * for one of the caller's that is another.
 */
export async function pinRestored(
  content: Content | undefined,
  offered: readonly ReadOnlyFile[],
  manifest: SnapshotManifest,
  signal: AbortSignal,
): Promise<Pinned> {
  if (content === undefined) {
    for (const file of offered) refuseAnother(file, undefined, manifest);
    return NOTHING_PINNED;
  }
  const pinned = await pinFiles(content, offered, signal);
  const held = Object.values(manifest.pinned).map(({ digest }) => digest);
  for (const digest of held) content.hold(digest);
  const release = (): void => {
    pinned.release();
    for (const digest of held) content.release(digest);
  };
  try {
    for (const file of offered) refuseAnother(file, pinned.files[file.name]?.digest, manifest);
    const files = { ...pinned.files, ...manifest.pinned };
    for (const name of neededNames(manifest)) {
      const problem = await problemOf(content, files[name], signal);
      if (problem !== undefined) throw missing(manifest, name, problem);
    }
    return { files, release };
  } catch (error) {
    release();
    throw error;
  }
}

function refuseAnother(
  { name, field, isGuess = false }: ReadOnlyFile,
  offered: string | undefined,
  { pinned, spec }: SnapshotManifest,
): void {
  const expected = pinned[name];
  // A snapshot of format 1 has shared drives whose content it did not pin.
  const isUnpinned = expected === undefined && sharedDrives(spec).includes(name);
  if (isGuess || isUnpinned || (expected !== undefined && offered === expected.digest)) return;
  const held = expected === undefined ? 'nothing' : `a file whose digest is ${expected.digest}`;
  throw invalidArgument(field, `what the snapshot holds: ${held}`);
}

function neededNames({ kind, pinned, spec }: SnapshotManifest): readonly string[] {
  const drives = [...(spec.image === undefined ? [] : [IMAGE_FILE]), ...sharedDrives(spec)];
  return kind === 'memory' ? drives : [...new Set([...drives, ...Object.keys(pinned)])];
}

function sharedDrives({ rootDrive, drives = [] }: SnapshotManifest['spec']): readonly string[] {
  return [
    ...(rootDrive?.mode === 'shared' ? ['rootDrive'] : []),
    ...drives.filter(({ mode }) => mode === 'shared').map(({ driveId }) => `drives.${driveId}`),
  ];
}

async function problemOf(
  content: Content,
  file: PinnedFile | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  return file === undefined ? 'the snapshot does not say which' : content.problem(file, { signal });
}

function missing({ snapshotUid }: SnapshotManifest, name: string, problem: string): VmRuntimeError {
  const reason = `the ${name} that it was taken with is not in the store of this state directory: ${problem}`;
  return new VmRuntimeError('MICROVM_SNAPSHOT_INCOMPATIBLE', `restore snapshot ${snapshotUid}: ${reason}`, {
    details: { snapshotUid, reason },
    remedy:
      name === IMAGE_FILE
        ? 'import or pull that image into the store of images'
        : 'name that file in the spec, beside restoreFrom',
  });
}
