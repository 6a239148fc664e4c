import { close, fsync, open } from 'node:fs';
import { promisify } from 'node:util';

/**
 * Makes what was written to a file, or the names in a folder, durable.
 *
 * By a descriptor's number: loaders that put file systems of their own in front of Node's, such as Yarn's
 * Plug'n'Play, hand out `FileHandle`s whose `sync` fails.
 */
export async function syncPath(path: string): Promise<void> {
  const descriptor = await promisify(open)(path, 'r');
  try {
    await promisify(fsync)(descriptor);
  } finally {
    await promisify(close)(descriptor);
  }
}
