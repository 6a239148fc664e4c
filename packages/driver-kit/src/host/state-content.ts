import { join } from 'node:path';
import { ContentStore } from '@microvm/image';

/**
 * The store of a state directory for kernels, initrds and shared drives: on the file system of the jails,
 * which get hard links.
 */
export function stateContent(stateDir: string): ContentStore {
  return new ContentStore(join(stateDir, 'images'));
}
