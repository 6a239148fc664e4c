import { chmod, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createDisk, xdgFolder } from '@microvm/image';
import { MIB } from '@microvm/runtime';
import { ignoreMissing } from '../host/system-error.js';

export interface BlankDiskOptions {
  readonly sizeMib: number;
  readonly signal: AbortSignal;
  /** Default: that of the default image. */
  readonly cacheDir?: string | undefined;
}

/**
 * The path of an empty ext4 file system of this size, in a sparse file of the cache: made on first use, then
 * copied for each VM. Several processes may call it at once. Errors: those of `createDisk`.
 */
export async function ensureBlankDisk({ sizeMib, signal, cacheDir }: BlankDiskOptions): Promise<string> {
  const folder = join(cacheDir ?? xdgFolder('cache', process.env), 'blank-disks');
  const path = join(folder, `${sizeMib}-mib.ext4`);
  if (await isThere(path)) return path;
  await mkdir(folder, { recursive: true });
  try {
    await createDisk({ to: path, sizeBytes: sizeMib * MIB, durable: true, signal });
    // Nobody writes to it, and whoever shares the cache may copy it.
    await chmod(path, 0o444);
  } catch (error) {
    // Another process has made it meanwhile: a disk gets its name when it is whole.
    if (!(await isThere(path))) throw error;
  }
  return path;
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(ignoreMissing))?.isFile() === true;
}
