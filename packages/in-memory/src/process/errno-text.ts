import { DiskError } from '../fs/inode.js';

const TEXTS: Readonly<Record<string, string>> = {
  EACCES: 'Permission denied',
  EADDRINUSE: 'Address in use',
  EBADF: 'Bad file descriptor',
  EBUSY: 'Resource busy',
  ECONNREFUSED: 'Connection refused',
  ECONNRESET: 'Connection reset by peer',
  EEXIST: 'File exists',
  EINVAL: 'Invalid argument',
  EISDIR: 'Is a directory',
  ELOOP: 'Symbolic link loop',
  ENAMETOOLONG: 'File name too long',
  ENOENT: 'No such file or directory',
  ENOEXEC: 'Exec format error',
  ENOMEM: 'Out of memory',
  ENOSPC: 'No space left on device',
  ENOTDIR: 'Not a directory',
  ENOTEMPTY: 'Directory not empty',
  EPERM: 'Operation not permitted',
  EPIPE: 'Broken pipe',
  EROFS: 'Read-only file system',
};

/** What programs print for an error of the guest's system. */
export function errnoText(errno: string): string {
  return TEXTS[errno] ?? errno;
}

/** Runs it; a `DiskError` goes to `onError` as its text. A broken pipe and any other error are thrown. */
export async function reporting<T>(
  act: () => Promise<T> | T,
  onError: (text: string) => Promise<T>,
): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof DiskError) || error.errno === 'EPIPE') throw error;
    return onError(errnoText(error.errno));
  }
}
