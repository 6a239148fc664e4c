import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { removeTree } from '@microvm/native';
import { hasCode } from './system-error.js';

/**
 * Removes files and folders from a folder, verified; answers what is still there afterwards, with the reason.
 */
export async function removeFiles(directory: string, names: readonly string[]): Promise<readonly string[]> {
  const left = await Promise.all(names.map((name) => remove(join(directory, name))));
  return left.flat();
}

async function remove(path: string): Promise<readonly string[]> {
  try {
    await unlink(path);
    return [];
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    if (!hasCode(error, 'EISDIR')) return [(error as Error).message];
    return (await removeTree(path)).left.map(({ message }) => message);
  }
}
