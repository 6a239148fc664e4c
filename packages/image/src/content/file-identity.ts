import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { ignoreAbsent } from '../host/system-error.js';

// Longer than the tick of a file system's clock: two writes within one tick leave the same times.
const SETTLED_MS = 50;

/** The mode of a file that is never written again. */
export const SEALED_MODE = 0o444;

/** A source as it is now. */
export interface SourceVersion {
  /** Differs once the file is written to or replaced. */
  readonly key: string;
  /** False when the file was written so lately that a further write may leave the key as it is. */
  readonly isSettled: boolean;
  /**
   * Its owner, who is this process's user, has taken the right to write from everybody, and it is on the file
   * system of the store: a hard link of it is as good as a copy.
   */
  readonly isLinkable: boolean;
}

/**
 * The version of a source for the store in a folder. Rejects with the system's error, also for what is no
 * regular file.
 */
export async function versionOf(path: string, folder: string): Promise<SourceVersion> {
  const [found, { dev }] = await Promise.all([stat(path, { bigint: true }), stat(folder, { bigint: true })]);
  if (!found.isFile()) {
    throw Object.assign(new Error(`"${path}" is no regular file`), { code: 'EISDIR', path });
  }
  const isOwn = found.dev === dev && Number(found.uid) === process.geteuid?.();
  const isLinkable = isOwn && (Number(found.mode) & 0o7777) === SEALED_MODE;
  // Each link of such a file changes the time of its inode's change, and its content stays.
  return isLinkable
    ? { key: `sealed:${identityOf(found)}`, isSettled: isLongAgo(found.mtimeMs), isLinkable }
    : { key: keyOf(found), isSettled: isLongAgo(found.ctimeMs), isLinkable };
}

function isLongAgo(timeMs: bigint): boolean {
  return Date.now() - Number(timeMs) > SETTLED_MS;
}

/** Whether two paths are names of one file. */
export async function isSameFile(a: string, b: string): Promise<boolean> {
  const [one, other] = await Promise.all(
    [a, b].map((path) => stat(path, { bigint: true }).catch(ignoreAbsent)),
  );
  return one !== undefined && other !== undefined && one.dev === other.dev && one.ino === other.ino;
}

/**
 * The key of a file's version; undefined when the file is absent or has another size. Of a file that nobody
 * may write to, without the time of its inode's change, which is that of the last link that a VM got of it.
 */
export async function versionOfSize(path: string, sizeBytes: number): Promise<string | undefined> {
  const found = await fileOfSize(path, sizeBytes);
  if (found === undefined) return undefined;
  return (Number(found.mode) & 0o7777) === SEALED_MODE ? `sealed:${identityOf(found)}` : keyOf(found);
}

/**
 * Identifies a file of the store; undefined when the file is absent or has another size. The time of the
 * inode's change is not part of the identity, because each link that a jail gets of the file, and its
 * removal, changes that time.
 */
export async function contentIdentity(path: string, sizeBytes: number): Promise<string | undefined> {
  const found = await fileOfSize(path, sizeBytes);
  return found === undefined ? undefined : identityOf(found);
}

function identityOf({ ino, size, mtimeNs }: BigIntStats): string {
  return [ino, size, mtimeNs].join(':');
}

function keyOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(':');
}

async function fileOfSize(path: string, sizeBytes: number): Promise<BigIntStats | undefined> {
  const found = await stat(path, { bigint: true }).catch(ignoreAbsent);
  return found?.isFile() === true && found.size === BigInt(sizeBytes) ? found : undefined;
}
