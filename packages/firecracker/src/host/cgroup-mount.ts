import { createHash } from 'node:crypto';
import { readFile, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { FirecrackerHost } from './firecracker-host.js';
import type { VmPlan } from './vm-plan.js';

/** Where cgroups of version 2 are mounted, alone or beside version 1; undefined where they are not. */
export async function findCgroupMount(): Promise<string | undefined> {
  // proc_pid_mountinfo(5): the mount point is the fifth field, the type follows the separator.
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const cgroup2 = mounts.find((line) => / - cgroup2 /.test(line));
  return cgroup2?.split(' ')[4];
}

/** The folder of all cgroups of a state directory, below the mount: so that left-overs of one are not taken for another's. */
export function cgroupParentOf(stateDir: string): string {
  return join('microvm', createHash('sha256').update(stateDir).digest('hex').slice(0, 16));
}

/** Where a VM's cgroup is; undefined where it has none. */
export function cgroupPath(
  { cgroupMount }: Pick<FirecrackerHost, 'cgroupMount'>,
  { cgroup }: Pick<VmPlan, 'cgroup'>,
): string | undefined {
  return cgroup === null || cgroupMount === undefined ? undefined : join(cgroupMount, cgroup);
}

/** Removes the folder of a state directory's cgroups, and the one of all of them, where nothing is in it any more. */
export async function removeEmptyParents(mount: string, stateDir: string): Promise<void> {
  const parent = cgroupParentOf(stateDir);
  for (const path of [parent, dirname(parent)]) {
    // Another VM of ours, or another runtime, is in it.
    await rmdir(join(mount, path)).catch(() => undefined);
  }
}
