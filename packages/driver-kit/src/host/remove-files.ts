import { lstat, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ignoreMissing } from './system-error.js';

/** Removes files and folders from a folder, verified; answers what is still there afterwards, with the reason where there is one. */
export async function removeFiles(directory: string, names: readonly string[]): Promise<readonly string[]> {
  const left: string[] = [];
  for (const name of names) {
    const path = join(directory, name);
    const problem = await rm(path, { recursive: true, force: true }).then(
      () => undefined,
      (error: unknown) => (error as Error).message,
    );
    if (problem !== undefined) left.push(problem);
    const isThere = (await lstat(path).catch(ignoreMissing)) !== undefined;
    if (isThere && problem?.includes(path) !== true) left.push(path);
  }
  return left;
}
