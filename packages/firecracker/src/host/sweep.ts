import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ignoreMissing } from '@microvm/driver-kit';
import { killCgroup } from '@microvm/native';
import type { KnownVm } from '@microvm/runtime';
import { cgroupParentOf } from './cgroup-mount.js';
import { clearVmmFolder } from './stage.js';
import { jailFolder, jailsFolder } from './vm-plan.js';

export interface SweepOptions {
  readonly stateDir: string;
  readonly cgroupMount: string | undefined;
  readonly known: readonly KnownVm[];
}

/**
 * Removes cgroups, with what runs in them, and jails that belong to no VM: an owner-death watcher ends VMs and removes their folders
 * only, and a record may have been removed by hand.
 */
export async function sweepOrphans({ stateDir, cgroupMount, known }: SweepOptions): Promise<void> {
  const instances = new Set(known.map(({ instanceId }) => instanceId));
  const isOrphan = (name: string): boolean => !instances.has(name);
  if (cgroupMount !== undefined) {
    const parent = join(cgroupMount, cgroupParentOf(stateDir));
    for (const name of (await foldersIn(parent)).filter(isOrphan)) await killCgroup(join(parent, name));
  }
  for (const name of (await foldersIn(jailsFolder(stateDir))).filter(isOrphan)) {
    await clearVmmFolder(jailFolder(stateDir, name));
  }
}

async function foldersIn(path: string): Promise<string[]> {
  const entries = (await readdir(path, { withFileTypes: true }).catch(ignoreMissing)) ?? [];
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}
