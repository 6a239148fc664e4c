import { readdir, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { ignoreMissing } from '@microvm/driver-kit';
import { killCgroup } from '@microvm/native';
import { sweepAll, type KnownVm, type Sweep } from '@microvm/runtime';
import type { Cgroups } from './cgroups.js';
import { clearVmmFolder } from './stage.js';
import { jailFolder, jailsFolder } from './vm-plan.js';

export interface SweepOptions {
  readonly stateDir: string;
  readonly cgroups: Cgroups;
  readonly known: readonly KnownVm[];
}

/** What was swept, and the users that still have files. */
export interface SweptOrphans {
  readonly sweep: Sweep;
  readonly users: readonly number[];
}

/**
 * Removes cgroups, with what runs in them, and jails that belong to no VM: an owner-death watcher ends VMs
 * and removes their folders only, and a record may have been removed by hand. A process that does not end
 * keeps its user from being given to another VM.
 */
export async function sweepOrphans({ stateDir, cgroups, known }: SweepOptions): Promise<SweptOrphans> {
  const instances = new Set(known.map(({ instanceId }) => instanceId));
  const groups = [...(await cgroups.list())].filter(([name]) => !instances.has(name));
  const jails = (await readdir(jailsFolder(stateDir))).filter((name) => !instances.has(name));
  const folders = jails.map((name) => jailFolder(stateDir, name));
  const sweep = await sweepAll([
    ...groups.map(([, path]) => ({ what: path, remove: () => killCgroup(path) })),
    ...folders.map((folder) => ({
      what: relative(stateDir, folder),
      remove: () => clearVmmFolder(folder),
    })),
  ]);
  return { sweep, users: (await Promise.all(folders.map(ownersOf))).flat() };
}

async function ownersOf(jail: string): Promise<number[]> {
  const found = await Promise.all([jail, join(jail, 'root')].map((path) => stat(path).catch(ignoreMissing)));
  return found.flatMap((folder) => (folder === undefined ? [] : [folder.uid]));
}
