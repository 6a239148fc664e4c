import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createDisk } from '@microvm/image';
import { copyFile, type CopyOptions } from '@microvm/native';
import type { Captured, Run } from '@microvm/runtime';
import { pathOf } from './paths.js';
import type { PlannedDrive, VmPlan } from './vm-plan.js';

const MIB = 1024 * 1024;

/** Makes the private disks of a new VM from the images that its spec names. */
export async function makeDisks(plan: VmPlan, directory: string, run: Run): Promise<void> {
  await mkdir(pathOf(directory, 'disks'), { mode: 0o700 });
  for (const drive of privateDrives(plan)) {
    await createDisk({
      from: drive.source,
      to: join(directory, drive.file),
      signal: run.signal,
      onProgress: progressOf('disks', run),
      ...(drive.sizeMib === null ? {} : { sizeBytes: drive.sizeMib * MIB }),
    });
  }
}

/** Copies the private disks into a snapshot. Nothing may write to them meanwhile. */
export async function captureDisks(
  plan: VmPlan,
  directory: string,
  target: string,
  run: Run,
): Promise<Captured['diskCopy']> {
  const methods: string[] = [];
  for (const { file, part } of privateDrives(plan)) {
    const copied = await copyPart(join(directory, file), join(target, part), 'disks', run);
    methods.push(copied.method);
  }
  if (methods.length === 0) return 'none';
  return methods.every((method) => method === 'reflink') ? 'reflink' : 'copy';
}

/** Gives a restored VM disks of its own, as they were when the snapshot was taken. */
export async function restoreDisks(plan: VmPlan, source: string, directory: string, run: Run): Promise<void> {
  await mkdir(pathOf(directory, 'disks'), { mode: 0o700 });
  for (const { file, part } of privateDrives(plan)) {
    await copyPart(join(source, part), join(directory, file), 'disks', run);
  }
}

export function privateDrives(plan: VmPlan): readonly PlannedDrive[] {
  return plan.drives.filter(({ isPrivate }) => isPrivate);
}

/** Copies one file of a snapshot, in or out: by reflink where the file system can, else what is not zero. */
export function copyPart(from: string, to: string, step: string, run: Run): ReturnType<typeof copyFile> {
  return copyFile(from, to, { sparse: true, signal: run.signal, onProgress: progressOf(step, run) });
}

function progressOf(step: string, run: Run): NonNullable<CopyOptions['onProgress']> {
  return ({ copiedBytes, totalBytes }) =>
    run.progress({ step, done: copiedBytes, total: totalBytes, unit: 'bytes' });
}
