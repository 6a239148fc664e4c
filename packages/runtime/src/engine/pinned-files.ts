import { resolve } from 'node:path';
import { invalidArgument, VmRuntimeError } from '../contract/errors.js';
import type { ResolvedVmSpec } from '../contract/spec.js';
import type { Content } from '../ports/content.js';
import type { PinnedFiles } from './manifest.js';

type SpecDrive = NonNullable<ResolvedVmSpec['rootDrive']>;
type SpecFiles = Pick<ResolvedVmSpec, 'kernelPath' | 'initrdPath' | 'rootDrive' | 'drives'>;

/** A file of the caller's that VMs only read. */
export interface ReadOnlyFile {
  /** As in `PinnedFiles`. */
  readonly name: string;
  /** The field of the spec, for errors. */
  readonly field: string;
  readonly path: string;
  /** The caller did not name it: it serves if it is the one that is wanted, else it counts as absent. */
  readonly isGuess?: boolean;
}

/**
 * The files of one caller, pinned. The store keeps each file until `release`, and afterwards as long as a
 * record or a manifest names it.
 */
export interface Pinned {
  readonly files: PinnedFiles;
  release(): void;
}

export const NOTHING_PINNED: Pinned = { files: {}, release: () => undefined };

/** The kernel, the initrd and the shared drives that a spec names. */
export function readOnlyFiles(spec: Partial<SpecFiles>): readonly ReadOnlyFile[] {
  const { kernelPath, initrdPath, rootDrive, drives = [] } = spec;
  const named: readonly (readonly [name: string, field: string, path: string | undefined])[] = [
    ['kernel', 'spec.kernelPath', kernelPath],
    ['initrd', 'spec.initrdPath', initrdPath],
    ['rootDrive', 'spec.rootDrive.path', sharedPath(rootDrive)],
    ...drives.map(
      (drive, index) => [`drives.${drive.driveId}`, `spec.drives[${index}].path`, sharedPath(drive)] as const,
    ),
  ];
  return named.flatMap(([name, field, path]) => (path === undefined ? [] : [{ name, field, path }]));
}

function sharedPath(drive: SpecDrive | undefined): string | undefined {
  return drive?.mode === 'shared' ? drive.path : undefined;
}

/**
 * Brings the caller's files into the store, all or none. Errors: INVALID_ARGUMENT for a file that cannot be
 * read; the system's.
 */
export async function pinFiles(
  content: Content,
  files: readonly ReadOnlyFile[],
  signal: AbortSignal,
): Promise<Pinned> {
  const flights = files.map(
    async ({ name, field, path }) => [name, await pin(content, field, path, signal)] as const,
  );
  const settled = await Promise.allSettled(flights);
  const pinned = settled.flatMap((flight) => (flight.status === 'fulfilled' ? [flight.value] : []));
  const release = (): void => pinned.forEach(([, { digest }]) => content.release(digest));
  const failed = settled.find((flight) => flight.status === 'rejected');
  if (failed === undefined) return { files: Object.fromEntries(pinned), release };
  release();
  throw failed.reason;
}

async function pin(
  content: Content,
  field: string,
  path: string,
  signal: AbortSignal,
): ReturnType<Content['pin']> {
  try {
    return await content.pin(resolve(path), { signal });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EACCES' && code !== 'EISDIR') throw error;
    const expected = 'a file that this process may read';
    throw invalidArgument(field, expected, `${field}: cannot read "${path}": ${(error as Error).message}`);
  }
}

/**
 * The spec as drivers see it: what is pinned is the store's own file, whatever has become of the caller's.
 */
export function withPinned<T extends ResolvedVmSpec>(spec: T, files: PinnedFiles, content: Content): T {
  const stored = (name: string): string | undefined => {
    const file = files[name];
    return file === undefined ? undefined : content.path(file.digest);
  };
  const { rootDrive, drives } = spec;
  const paths: Partial<Record<keyof SpecFiles, unknown>> = {
    kernelPath: stored('kernel'),
    initrdPath: stored('initrd'),
    rootDrive: rootDrive && withPath(rootDrive, stored('rootDrive')),
    drives: drives?.map((drive) => withPath(drive, stored(`drives.${drive.driveId}`))),
  };
  return { ...spec, ...Object.fromEntries(Object.entries(paths).filter(([, value]) => value !== undefined)) };
}

function withPath<T extends SpecDrive>(drive: T, path: string | undefined): T {
  return path === undefined ? drive : { ...drive, path };
}

/** Refuses to boot a VM whose files are not what they were when it was made: STATE_CORRUPT. */
export async function checkPinned(content: Content, files: PinnedFiles, signal: AbortSignal): Promise<void> {
  for (const [name, file] of Object.entries(files)) {
    const problem = await content.problem(file, { signal });
    if (problem === undefined) continue;
    const path = content.path(file.digest);
    throw new VmRuntimeError('MICROVM_STATE_CORRUPT', `read the ${name} at "${path}": ${problem}`, {
      details: { path, problem },
      remedy: `make a new VM with the same ${name}: that puts the file into the store again`,
    });
  }
}
