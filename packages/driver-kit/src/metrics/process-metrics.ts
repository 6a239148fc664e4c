import { readdir, readFile } from 'node:fs/promises';
import type { ProcessMetrics } from '@microvm/runtime';
import type { ProcessIdentity } from '@microvm/native';
import { hasCode } from '../host/system-error.js';

// USER_HZ is 100 on every architecture that we run on, and so fixed by the kernel's interface.
const US_PER_TICK = 10_000;
// proc_pid_stat(5); the count begins behind the name, with field 3.
const FIELDS = { userTicks: 14, systemTicks: 15, threadCount: 20, startTime: 22 } as const;

/**
 * What the kernel knows of a process; undefined when the process is gone, also when another process has its
 * pid.
 */
export async function processMetrics({
  pid,
  startTime,
}: ProcessIdentity): Promise<ProcessMetrics | undefined> {
  try {
    const [stat, status, openFileCount] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'latin1'),
      readFile(`/proc/${pid}/status`, 'latin1'),
      countOpenFiles(pid),
    ]);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const field = (name: keyof typeof FIELDS): string => fields[FIELDS[name] - 3] ?? '';
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
    // A dead process that nobody has reaped yet has no memory.
    if (field('startTime') !== startTime || resident === undefined) return undefined;
    return {
      residentBytes: Number(resident) * 1024,
      userUs: Number(field('userTicks')) * US_PER_TICK,
      systemUs: Number(field('systemTicks')) * US_PER_TICK,
      threadCount: Number(field('threadCount')),
      ...(openFileCount === undefined ? {} : { openFileCount }),
    };
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}

async function countOpenFiles(pid: number): Promise<number | undefined> {
  try {
    return (await readdir(`/proc/${pid}/fd`)).length;
  } catch (error) {
    if (hasCode(error, 'EACCES')) return undefined;
    throw error;
  }
}
