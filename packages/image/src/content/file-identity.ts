import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { ignoreAbsent } from '../host/system-error.js';

// Longer than the tick of a file system's clock: two writes within one tick leave the same times.
const SETTLED_MS = 50;

/** A source as it is now. */
export interface SourceVersion {
  /** Differs once the file is written to or replaced. */
  readonly key: string;
  /** False when the file was written so lately that a further write may leave the key as it is. */
  readonly isSettled: boolean;
}

/** Rejects with the system's error, also for what is no regular file. */
export async function versionOf(path: string): Promise<SourceVersion> {
  const found = await stat(path, { bigint: true });
  if (!found.isFile()) {
    throw Object.assign(new Error(`"${path}" is no regular file`), { code: 'EISDIR', path });
  }
  return { key: keyOf(found), isSettled: Date.now() - Number(found.ctimeMs) > SETTLED_MS };
}

/** The key of a file's version; undefined when the file is absent or has another size. */
export async function versionOfSize(path: string, sizeBytes: number): Promise<string | undefined> {
  const found = await fileOfSize(path, sizeBytes);
  return found === undefined ? undefined : keyOf(found);
}

/**
 * Identifies a file of the store; undefined when the file is absent or has another size. The time of the
 * inode's change is not part of the identity, because each link that a jail gets of the file, and its
 * removal, changes that time.
 */
export async function contentIdentity(path: string, sizeBytes: number): Promise<string | undefined> {
  const found = await fileOfSize(path, sizeBytes);
  return found === undefined ? undefined : [found.ino, found.size, found.mtimeNs].join(':');
}

function keyOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(':');
}

async function fileOfSize(path: string, sizeBytes: number): Promise<BigIntStats | undefined> {
  const found = await stat(path, { bigint: true }).catch(ignoreAbsent);
  return found?.isFile() === true && found.size === BigInt(sizeBytes) ? found : undefined;
}
