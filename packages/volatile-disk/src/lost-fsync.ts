import { builtPath } from './built-path.js';

/**
 * The environment of a program that forgets to sync: each fsync and fdatasync of a file, or of a folder,
 * whose path has this part in it is told to have gone well and is never done.
 */
export function lostFsync(kind: 'file' | 'folder', pathPart: string): NodeJS.ProcessEnv {
  return { LD_PRELOAD: builtPath('lost_fsync.so'), LOST_FSYNC: `${kind}:${pathPart}` };
}
