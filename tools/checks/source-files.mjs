import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Folders that hold nothing which somebody wrote. */
const LEFT_OUT = new Set(['.git', '.nx', 'build', 'coverage', 'dist', 'node_modules', 'prebuilds']);

/**
 * Paths, relative to `root` and sorted, of the files there that people wrote. Walks the folders, so that a
 * check works where there is no git.
 */
export async function sourceFiles(root, wanted = () => true) {
  const found = [];
  const folders = [''];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && !LEFT_OUT.has(entry.name)) folders.push(path);
      else if (entry.isFile() && wanted(path)) found.push(path);
    }
  }
  return found.sort();
}
