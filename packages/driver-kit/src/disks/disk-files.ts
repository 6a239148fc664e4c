import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createDisk } from '@microvm/image';
import { copyFile, type CopyOptions, type CopyResult } from '@microvm/native';
import type { Captured, Run } from '@microvm/runtime';
import { DISKS_FOLDER, privateDrives, type PlannedDrive } from './planned-drive.js';

const MIB = 1024 * 1024;

/** Makes the private disks of a new VM, in the folder that its drives are in, from the images that its spec names. */
export async function makeDisks(drives: readonly PlannedDrive[], folder: string, run: Run): Promise<void> {
  await mkdir(join(folder, DISKS_FOLDER), { mode: 0o700 });
  for (const drive of privateDrives(drives)) {
    const to = join(folder, drive.file);
    if (drive.sizeMib === null) await copyDisk(drive.source, to, run);
    else await growDisk(drive.source, to, drive.sizeMib * MIB, run);
  }
}

/** Nothing else looks at the folder yet, and one that broke off is removed with all of the VM. */
async function copyDisk(from: string, to: string, run: Run): Promise<void> {
  await copyPart(from, to, 'disks', run);
  await chmod(to, 0o600);
}

async function growDisk(from: string, to: string, sizeBytes: number, run: Run): Promise<void> {
  await createDisk({ from, to, sizeBytes, signal: run.signal, onProgress: progressOf('disks', run) });
}

/** Copies the private disks into a snapshot's folder. Nothing may write to them meanwhile. */
export async function captureDisks(
  drives: readonly PlannedDrive[],
  folder: string,
  target: string,
  run: Run,
): Promise<Captured['diskCopy']> {
  const methods: string[] = [];
  for (const { file, part } of privateDrives(drives)) {
    const copied = await copyPart(join(folder, file), join(target, part), 'disks', run);
    methods.push(copied.method);
  }
  if (methods.length === 0) return 'none';
  return methods.every((method) => method === 'reflink') ? 'reflink' : 'copy';
}

/** Gives a restored VM disks of its own, as they were when the snapshot in the folder `source` was taken. */
export async function restoreDisks(
  drives: readonly PlannedDrive[],
  source: string,
  folder: string,
  run: Run,
): Promise<void> {
  await mkdir(join(folder, DISKS_FOLDER), { mode: 0o700 });
  for (const { file, part } of privateDrives(drives)) {
    await copyPart(join(source, part), join(folder, file), 'disks', run);
  }
}

/** Copies one file of a snapshot, in or out: by reflink where the file system can, else what is not zero. */
export function copyPart(from: string, to: string, step: string, run: Run): Promise<CopyResult> {
  return copyFile(from, to, { sparse: true, signal: run.signal, onProgress: progressOf(step, run) });
}

function progressOf(step: string, run: Run): NonNullable<CopyOptions['onProgress']> {
  return ({ copiedBytes, totalBytes }) =>
    run.progress({ step, done: copiedBytes, total: totalBytes, unit: 'bytes' });
}
