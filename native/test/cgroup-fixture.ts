import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { killCgroup } from '../dist/index.js';

/** Where cgroup v2 is mounted on this host: all of `/sys/fs/cgroup`, or beside version 1. */
export function cgroupMount(): string | undefined {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  return mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2')?.[1];
}

/** Why cgroups cannot be made here, if so. */
export function reasonForSkip(): string | undefined {
  const mount = cgroupMount();
  if (mount === undefined) return 'no cgroup v2 is mounted';
  const probe = join(mount, `microvm-probe-${process.pid}`);
  try {
    mkdirSync(probe);
    rmdirSync(probe);
    return undefined;
  } catch (error) {
    return `no cgroup can be made in ${mount}: ${(error as Error).message}`;
  }
}

let made = 0;

/**
 * The path of a cgroup of its own for the running test, where nothing is yet; it is gone at the test's end.
 */
export function cgroupPath(): string {
  made += 1;
  const path = join(cgroupMount() ?? '/none', `microvm-test-${process.pid}-${made}`);
  onTestFinished(() => killCgroup(path).then(() => undefined));
  return path;
}

export function processesOf(cgroup: string): number[] {
  const text = readFileSync(join(cgroup, 'cgroup.procs'), 'utf8');
  return text.split('\n').filter(Boolean).map(Number);
}
