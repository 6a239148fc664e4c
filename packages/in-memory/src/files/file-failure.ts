import { DiskError } from '../fs/inode.js';

/** A request that failed, with the system call as Node names it. */
export class FileFailure extends Error {
  readonly errno: string;
  readonly syscall: string;

  constructor(errno: string, syscall: string) {
    super(`${syscall}: ${errno}`);
    this.errno = errno;
    this.syscall = syscall;
  }
}

/** Runs it; what the disk refuses is a failure of this system call. */
export function calling<T>(syscall: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw error instanceof DiskError ? new FileFailure(error.errno, syscall) : error;
  }
}
