import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createDisk } from '@microvm/image';
import { putDurable } from '@microvm/native';
import { MIB, type Captured, type DriverVm, type Run, type SnapshotPart } from '@microvm/runtime';
import { copyBounded, type FileSize } from './bounded-copy.js';
import { DISKS_FOLDER, privateDrives, type PlannedDrive } from './planned-drive.js';
import { progressOf } from './progress.js';

const DISK_MODE = 0o600;
// A VM that an older version made has no sizes of disks in its plan. This bound is small enough to be counted
// exactly.
const UNKNOWN_SIZE = { maxSizeBytes: 2 ** 44 };

/** Who owns the disks of a VM; absent: this process's user. */
export interface DiskOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface DiskTarget {
  readonly drives: readonly PlannedDrive[];
  /** The folder that the VM's drives are in. */
  readonly folder: string;
  readonly owner?: DiskOwner | undefined;
}

/**
 * Makes the private disks of a new VM from the files that its plan names: images, or the parts of a snapshot.
 * When the call resolves they survive a power cut; those of many VMs are flushed together.
 */
export async function makeDisks({ drives, folder, owner }: DiskTarget, run: Run): Promise<void> {
  await mkdir(join(folder, DISKS_FOLDER), { mode: 0o700 });
  for (const drive of privateDrives(drives)) {
    const to = join(folder, drive.file);
    const grown = drive.sizeMib === null ? undefined : `${to}.grown`;
    if (grown !== undefined) await growDisk(drive, grown, run);
    await putDurable(grown === undefined ? { copy: drive.source } : { move: grown }, to, {
      ...owner,
      ...(grown === undefined && drive.sizeBytes !== null ? { expectedSizeBytes: drive.sizeBytes } : {}),
      mode: DISK_MODE,
      sparse: true,
      signal: run.signal,
      onProgress: progressOf('disks', run),
    });
  }
}

function growDisk({ source, sizeMib }: PlannedDrive, to: string, run: Run): Promise<unknown> {
  const sizeBytes = (sizeMib ?? 0) * MIB;
  const onProgress = progressOf('disks', run);
  return createDisk({ from: source, to, sizeBytes, signal: run.signal, onProgress });
}

/** The disks of a snapshot, and how they were copied. */
export interface CapturedDisks {
  readonly method: Captured['diskCopy'];
  readonly parts: readonly SnapshotPart[];
}

/**
 * Copies the private disks into a snapshot's folder. Nothing may write to them meanwhile. Errors:
 * UNEXPECTED_SIZE for a disk whose size is not the planned one.
 */
export async function captureDisks(
  vm: Pick<DriverVm, 'vmId'>,
  { drives, folder }: DiskTarget,
  target: string,
  run: Run,
): Promise<CapturedDisks> {
  const methods: string[] = [];
  for (const { file, part, sizeBytes } of privateDrives(drives)) {
    const size: FileSize = sizeBytes === null ? UNKNOWN_SIZE : { expectedSizeBytes: sizeBytes };
    const disk = { vmId: vm.vmId, file, size, step: 'disks' };
    methods.push((await copyBounded(join(folder, file), join(target, part), disk, run)).method);
  }
  const parts = privateDrives(drives).map(({ part }) => ({ name: part, role: 'disk' }) as const);
  if (methods.length === 0) return { method: 'none', parts };
  return { method: methods.every((method) => method === 'reflink') ? 'reflink' : 'copy', parts };
}
