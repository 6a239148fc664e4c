import { stat } from 'node:fs/promises';
import { ignoreMissing } from './system-error.js';

/**
 * Identifies a file or folder for this boot of the host, by whatever path and in whatever mount namespace it
 * is reached. Undefined when nothing is at the path.
 */
export async function fileIdentity(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(ignoreMissing);
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}
