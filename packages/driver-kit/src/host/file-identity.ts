import { stat } from 'node:fs/promises';
import { ignoreMissing } from './system-error.js';

/**
 * What tells a file or folder from every other one of this boot of the host, by whatever path and in whatever
 * mount namespace it is reached; undefined when nothing is at the path.
 */
export async function fileIdentity(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(ignoreMissing);
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}
