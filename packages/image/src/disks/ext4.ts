import { open, rm, truncate } from 'node:fs/promises';
import { MIB } from '@microvm/runtime';
import { runProgram } from '../host/program.js';

/**
 * Below 8 MiB mkfs.ext4 leaves out the journal, without which a killed guest finds a damaged file system;
 * below this there is little else.
 */
export const MIN_EXT4_BYTES = 16 * MIB;

const SUPERBLOCK_MAGIC_AT = 1024 + 56;
const SUPERBLOCK_MAGIC = 0xef53;

// Any value will do: with a fixed one the same size gives the same bytes, and so the same digest.
const TEMPLATE_UUID = '6d696372-6f76-4d00-8000-64617461646b';
const TEMPLATE_TIME_S = '1700000000';

export interface EmptyExt4Options {
  readonly sizeBytes: number;
  /**
   * The same size gives the same bytes, identifiers and times included; otherwise each file system has its
   * own.
   */
  readonly isTemplate?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Makes an empty ext4 file system in a new sparse file. On failure there is no file. */
export async function makeEmptyExt4(path: string, options: EmptyExt4Options): Promise<void> {
  const { sizeBytes, isTemplate = false, signal } = options;
  const file = await open(path, 'wx', 0o644);
  try {
    await file.truncate(sizeBytes);
    // Lazy inode tables would have the guest write to the disk after its first boot. The journal needs no
    // zeros: it is a hole.
    const extended = 'lazy_itable_init=0,lazy_journal_init=1';
    const identity = isTemplate
      ? ['-U', TEMPLATE_UUID, '-E', `${extended},hash_seed=${TEMPLATE_UUID}`]
      : ['-E', extended];
    // mkfs.ext4 would choose blocks of 1 KiB for a small disk, which may be grown to a large one later.
    await runProgram('mkfs.ext4', ['-q', '-F', '-b', '4096', '-m', '0', ...identity, path], {
      signal,
      env: isTemplate ? { E2FSPROGS_FAKE_TIME: TEMPLATE_TIME_S } : undefined,
    });
  } catch (error) {
    await rm(path, { force: true }).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
}

/** True when the file begins with an ext2, ext3 or ext4 file system, not with a partition table. */
export async function hasExt4(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(2), 0, 2, SUPERBLOCK_MAGIC_AT);
    return bytesRead === 2 && buffer.readUInt16LE() === SUPERBLOCK_MAGIC;
  } finally {
    await file.close();
  }
}

/** Makes the file larger, and the file system in it as large as the file. */
export async function growExt4(path: string, sizeBytes: number, signal?: AbortSignal): Promise<void> {
  await truncate(path, sizeBytes);
  // resize2fs refuses a file system that was mounted after its last check; 1 and 2 are `errors were
  // corrected`.
  await runProgram('e2fsck', ['-f', '-p', path], { signal, goodExitCodes: [0, 1, 2] });
  await runProgram('resize2fs', [path], { signal });
}
