import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, chmod, link, lstat, rm, stat, truncate } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { copyFile, type CopyProgress } from '@microvm/native';
import { abortSignalSchema, invalidArgument, resolveOptions, syncPath } from '@microvm/runtime';
import { z } from 'zod';
import { growExt4, hasExt4, makeEmptyExt4, MIN_EXT4_BYTES } from './ext4.js';
import { GuardedWork } from '../host/guarded-work.js';
import { toContractError } from '../host/host-errors.js';
import { hasCode, ignoreAbsent } from '../host/system-error.js';

const SECTOR_BYTES = 512;

export interface CreateDiskOptions {
  /** Path of the new disk; nothing may be there. It belongs to the caller alone (mode 0600). */
  readonly to: string;
  /** Disk to copy, a regular file; absent: an empty ext4 file system. */
  readonly from?: string | undefined;
  /**
   * Size in bytes, a multiple of 512. Default: that of `from`; needed without `from`, and 16 MiB at least
   * then. When it is more than the size of `from`, an ext4 file system in it grows with it; other content,
   * such as a partition table, stays as it is.
   */
  readonly sizeBytes?: number | undefined;
  /** After the promise resolved the disk survives a power cut; default false. */
  readonly durable?: boolean | undefined;
  /**
   * Called now and then while bytes are copied; not for a reflink. A throw ends the work and is passed on.
   */
  readonly onProgress?: ((progress: CopyProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CreatedDisk {
  readonly path: string;
  readonly sizeBytes: number;
  /** `reflink`: shares its blocks with `from` until they are written. */
  readonly method: 'reflink' | 'copy' | 'mkfs';
}

const optionsSchema = z.strictObject({
  to: z.string().min(1),
  from: z.string().min(1).optional(),
  sizeBytes: z.int().min(SECTOR_BYTES).multipleOf(SECTOR_BYTES).optional(),
  durable: z.boolean().optional(),
  onProgress: z
    .custom<(progress: CopyProgress) => void>((value) => typeof value === 'function', 'a function')
    .optional(),
  signal: abortSignalSchema.optional(),
});
type ParsedOptions = z.output<typeof optionsSchema>;

/**
 * Makes a private disk: by reflink where the file system can, else by copying the data only, or an empty one.
 * The disk appears whole or not at all, and replaces nothing. An abort rejects with the signal's reason and
 * leaves nothing.
 *
 * @throws MICROVM_INVALID_ARGUMENT (`to` exists or its folder does not, `from` is no readable file, a size
 * below that of `from`), MICROVM_NO_SPACE, MICROVM_HOST_UNSUPPORTED (no e2fsprogs), MICROVM_HOST_FAILURE
 */
export async function createDisk(options: CreateDiskOptions): Promise<CreatedDisk> {
  const parsed = resolveOptions(optionsSchema, [], options);
  const to = resolve(parsed.to);
  const { from, signal } = parsed;
  signal?.throwIfAborted();
  const fromBytes = from === undefined ? undefined : await sizeOfTemplate(from);
  const sizeBytes = checkedSize(parsed.sizeBytes, fromBytes);
  await requireNewPath(to);
  const partial = join(dirname(to), `.${randomBytes(8).toString('hex')}.partial`);
  try {
    const method = await fill(partial, sizeBytes, parsed);
    signal?.throwIfAborted();
    await publish(partial, to, parsed.durable === true);
    return { path: to, sizeBytes, method };
  } catch (error) {
    const work = { operation: `create disk "${to}"`, path: to, neededBytes: sizeBytes, signal };
    throw await toContractError(error, work);
  } finally {
    await rm(partial, { force: true }).catch(() => undefined);
  }
}

async function fill(path: string, sizeBytes: number, options: ParsedOptions): Promise<CreatedDisk['method']> {
  const { from, signal } = options;
  if (from === undefined) {
    await makeEmptyExt4(path, { sizeBytes, signal });
    await chmod(path, 0o600);
    return 'mkfs';
  }
  const copied = await copyWithProgress(from, path, options);
  await chmod(path, 0o600);
  if (copied.sizeBytes < sizeBytes) {
    if (await hasExt4(path)) await growExt4(path, sizeBytes, signal);
    else await truncate(path, sizeBytes);
  }
  return copied.method === 'reflink' ? 'reflink' : 'copy';
}

async function copyWithProgress(
  from: string,
  to: string,
  options: ParsedOptions,
): ReturnType<typeof copyFile> {
  const work = new GuardedWork(options.signal);
  const { signal } = work;
  const report = work.guard((progress: CopyProgress) => options.onProgress?.(progress));
  return copyFile(from, to, { sparse: true, signal, onProgress: report });
}

/** Gives the finished disk its name, unless something has that name by now. */
async function publish(partial: string, to: string, isDurable: boolean): Promise<void> {
  if (isDurable) await syncPath(partial);
  try {
    await link(partial, to);
  } catch (error) {
    throw hasCode(error, 'EEXIST') ? pathTaken(to) : error;
  }
  if (isDurable) await syncPath(dirname(to));
}

async function sizeOfTemplate(from: string): Promise<number> {
  try {
    const found = await stat(from);
    if (!found.isFile()) throw invalidArgument('from', `a regular file, not "${from}"`);
    await access(from, constants.R_OK);
    return found.size;
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG')) throw error;
    throw invalidArgument('from', `a file that this process may read, not "${from}"`);
  }
}

function checkedSize(sizeBytes: number | undefined, fromBytes: number | undefined): number {
  if (fromBytes === undefined) {
    if (sizeBytes === undefined) throw invalidArgument('sizeBytes', 'a size, or a disk to copy in `from`');
    if (sizeBytes >= MIN_EXT4_BYTES) return sizeBytes;
    throw invalidArgument('sizeBytes', `${MIN_EXT4_BYTES} or more for a new file system, not ${sizeBytes}`);
  }
  if (fromBytes === 0 || fromBytes % SECTOR_BYTES !== 0) {
    throw invalidArgument(
      'from',
      `a disk of whole sectors of ${SECTOR_BYTES} bytes, not of ${fromBytes} bytes`,
    );
  }
  if (sizeBytes === undefined || sizeBytes >= fromBytes) return sizeBytes ?? fromBytes;
  throw invalidArgument('sizeBytes', `${fromBytes} or more, the size of \`from\`, not ${sizeBytes}`);
}

/** Says early what `publish` and the copy would find late. */
async function requireNewPath(to: string): Promise<void> {
  const folder = await stat(dirname(to)).catch(ignoreAbsent);
  if (folder?.isDirectory() !== true)
    throw invalidArgument('to', `a path in an existing folder, not "${to}"`);
  if ((await lstat(to).catch(ignoreAbsent)) !== undefined) throw pathTaken(to);
}

function pathTaken(to: string): Error {
  return invalidArgument('to', `a path where nothing is, not "${to}"`);
}
