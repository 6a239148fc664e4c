import { readdir, readFile } from 'node:fs/promises';
import { hasCode } from '@microvm/driver-kit';

const READS_AT_ONCE = 64;

/** The user ids that the living processes of this host have: real, effective, saved and for files. */
export async function userIdsInUse(): Promise<ReadonlySet<number>> {
  return new Set((await processUsers()).flatMap(({ userIds }) => userIds));
}

/** The processes that run as a user, by pid. */
export async function processesOf(uid: number): Promise<readonly number[]> {
  return (await processUsers()).filter(({ userIds }) => userIds.includes(uid)).map(({ pid }) => pid);
}

interface ProcessUsers {
  readonly pid: number;
  readonly userIds: readonly number[];
}

async function processUsers(): Promise<ProcessUsers[]> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0);
  const found: ProcessUsers[] = [];
  while (pids.length > 0) {
    const users = await Promise.all(pids.splice(0, READS_AT_ONCE).map(usersOf));
    found.push(...users.filter((one) => one !== undefined));
  }
  return found;
}

async function usersOf(pid: number): Promise<ProcessUsers | undefined> {
  try {
    // proc_pid_status(5). The owner of /proc/<pid> is root's for a process that made itself undumpable.
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const userIds = /^Uid:((?:\s+\d+)+)$/m.exec(status)?.[1]?.trim().split(/\s+/).map(Number) ?? [];
    return { pid, userIds };
  } catch (error) {
    // It ended meanwhile.
    if (hasCode(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}
