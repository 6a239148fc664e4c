import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { invalidArgument, type ResolvedVmSpec, type VmSpec } from '@microvm/runtime';
import { leastMemoryMib } from './boot-memory.js';

/**
 * Refuses a spec without a kernel, with files that cannot be read, or with less memory than its kernel takes
 * to boot, before any effect: `MICROVM_INVALID_ARGUMENT`. A restored VM (`given` names a snapshot) reads no
 * file of a path: its disks come from the snapshot, the other files from the store.
 */
export async function checkSpecFiles(spec: ResolvedVmSpec, given: VmSpec): Promise<void> {
  if (given.restoreFrom !== undefined) return;
  if (spec.kernelPath === undefined) throw invalidArgument('spec.kernelPath', 'a kernel image');
  const files: readonly (readonly [string, string | undefined])[] = [
    ['spec.kernelPath', spec.kernelPath],
    ['spec.initrdPath', spec.initrdPath],
    ['spec.rootDrive.path', spec.rootDrive?.path],
    ...(spec.drives ?? []).map((drive, index) => [`spec.drives[${index}].path`, drive.path] as const),
  ];
  const problems = await Promise.all(files.map(([path, file]) => problemWith(path, file)));
  const first = problems.find((problem) => problem !== undefined);
  if (first !== undefined) throw first;
  const least = (await leastMemoryMib(spec)) ?? 0;
  if (spec.memSizeMib < least) throw invalidArgument('spec.memSizeMib', `at least ${least} for this kernel`);
}

async function problemWith(path: string, file: string | undefined): Promise<Error | undefined> {
  if (file === undefined) return undefined;
  const problem = await Promise.all([access(file, constants.R_OK), stat(file)])
    .then(([, found]) => (found.isFile() ? undefined : 'it is not a regular file'))
    .catch((error: unknown) => (error as Error).message);
  if (problem === undefined) return undefined;
  return invalidArgument(
    path,
    'a file that this process may read',
    `${path}: cannot read "${file}": ${problem}`,
  );
}
