import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { invalidArgument, type ResolvedVmSpec } from '@microvm/runtime';

/** Refuses a spec without a kernel or with files that cannot be read, before any effect: `MICROVM_INVALID_ARGUMENT`. */
export async function checkSpecFiles(spec: ResolvedVmSpec): Promise<void> {
  if (spec.kernelPath === undefined) throw invalidArgument('spec.kernelPath', 'a kernel image');
  const files: readonly (readonly [string, string | undefined])[] = [
    ['spec.kernelPath', spec.kernelPath],
    ['spec.initrdPath', spec.initrdPath],
    ['spec.rootDrive.path', spec.rootDrive?.path],
    ...(spec.drives ?? []).map((drive, index) => [`spec.drives[${index}].path`, drive.path] as const),
  ];
  for (const [path, file] of files) {
    if (file !== undefined) await requireReadable(path, file);
  }
}

async function requireReadable(path: string, file: string): Promise<void> {
  const problem = await access(file, constants.R_OK)
    .then(() => stat(file))
    .then((found) => (found.isFile() ? undefined : 'it is not a regular file'))
    .catch((error: unknown) => (error as Error).message);
  if (problem === undefined) return;
  throw invalidArgument(
    path,
    'a file that this process may read',
    `${path}: cannot read "${file}": ${problem}`,
  );
}
