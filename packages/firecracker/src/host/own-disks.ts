import { chown } from 'node:fs/promises';
import { join } from 'node:path';
import { privateDrives } from '@microvm/driver-kit';
import type { VmPlan } from './vm-plan.js';

/** Makes a jailed VMM's user the owner of the VM's own disks: new files, which nobody else has a link to. */
export async function chownDisks(
  { uid, drives }: Pick<VmPlan, 'uid' | 'drives'>,
  directory: string,
): Promise<void> {
  if (uid === null) return;
  await Promise.all(privateDrives(drives).map(({ file }) => chown(join(directory, file), uid, uid)));
}
