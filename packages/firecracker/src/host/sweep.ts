import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ignoreMissing } from '@microvm/driver-kit';
import { killCgroup } from '@microvm/native';
import type { KnownVm } from '@microvm/runtime';
import type { Cgroups } from './cgroups.js';
import { clearVmmFolder } from './stage.js';
import { jailFolder, jailsFolder } from './vm-plan.js';

export interface SweepOptions {
  readonly stateDir: string;
  readonly cgroups: Cgroups;
  readonly known: readonly KnownVm[];
}

/**
 * Removes cgroups, with what runs in them, and jails that belong to no VM: an owner-death watcher ends VMs
 * and removes their folders only, and a record may have been removed by hand. What cannot be removed keeps
 * nobody from opening; the next open tries again. Answers with the users that still have files.
 */
export async function sweepOrphans({ stateDir, cgroups, known }: SweepOptions): Promise<readonly number[]> {
  const instances = new Set(known.map(({ instanceId }) => instanceId));
  for (const [name, path] of await cgroups.list()) {
    // A process that does not end keeps its user from being given to another VM.
    if (!instances.has(name)) await killCgroup(path).catch(() => undefined);
  }
  const users: number[] = [];
  for (const name of (await readdir(jailsFolder(stateDir))).filter((jail) => !instances.has(jail))) {
    const folder = jailFolder(stateDir, name);
    await clearVmmFolder(folder).catch(async () => users.push(...(await ownersOf(folder))));
  }
  return users;
}

async function ownersOf(jail: string): Promise<number[]> {
  const found = await Promise.all([jail, join(jail, 'root')].map((path) => stat(path).catch(ignoreMissing)));
  return found.flatMap((folder) => (folder === undefined ? [] : [folder.uid]));
}
