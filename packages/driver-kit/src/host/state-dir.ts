import { randomBytes } from 'node:crypto';
import { rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { xdgFolder } from '@microvm/image';
import { copyFile } from '@microvm/native';
import type { HostFinding } from '@microvm/runtime';

// linux/magic.h
const MEMORY_FILE_SYSTEMS = [0x01021994, 0x858458f6];

/**
 * The default state directory of a driver: `$XDG_STATE_HOME/microvm/<driver>`, else below `~/.local/state`.
 */
export function defaultStateDir(driver: string, env: NodeJS.ProcessEnv): string {
  return join(xdgFolder('state', env), driver);
}

/**
 * Findings about the file system of the state directory: what it means for snapshots and disks. Nothing for a
 * file system that cannot be looked at.
 */
export async function stateDirFindings(stateDir: string): Promise<HostFinding[]> {
  const folder = await nearestFolder(stateDir);
  const isInMemory = MEMORY_FILE_SYSTEMS.includes((await statfs(folder)).type);
  if (isInMemory) {
    return [
      {
        code: 'state-dir-in-memory',
        severity: 'warning',
        message: `"${stateDir}" is on a file system in memory: each snapshot takes as much of it as its guest has`,
        remedy: 'choose a state directory on a disk',
      },
    ];
  }
  if ((await canReflink(folder)) !== false) return [];
  return [
    {
      code: 'no-reflink',
      severity: 'info',
      message: `the file system of "${stateDir}" cannot share blocks: disks are copied, which takes time and space`,
      remedy: 'put the state directory on XFS or Btrfs where that matters',
    },
  ];
}

/** The deepest folder of a path that exists: a folder of that path would be made there. */
export async function nearestFolder(path: string): Promise<string> {
  for (let folder = path; ; folder = dirname(folder)) {
    // Where a folder is missing or closed to this user, the folder above it serves as well.
    const found = await stat(folder).catch(() => undefined);
    if (found?.isDirectory() === true || folder === dirname(folder)) return folder;
  }
}

/** Undefined where we may not write. */
async function canReflink(folder: string): Promise<boolean | undefined> {
  const from = join(folder, `.reflink-${randomBytes(8).toString('hex')}`);
  const to = `${from}-copy`;
  try {
    await writeFile(from, Buffer.alloc(4096, 1));
    return (await copyFile(from, to)).method === 'reflink';
  } catch {
    return undefined;
  } finally {
    await Promise.all([from, to].map((path) => rm(path, { force: true }).catch(() => undefined)));
  }
}
