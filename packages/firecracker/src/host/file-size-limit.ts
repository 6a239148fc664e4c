import { statSync } from 'node:fs';
import { join } from 'node:path';
import { privateDrives } from '@microvm/driver-kit';
import { MIB } from '@microvm/runtime';
import { VM_FILES } from './paths.js';
import type { VmPlan } from './vm-plan.js';

const GIB = 1024 ** 3;
// Logs only grow: what is given back to the file system at their front stays part of their size.
const LOG_GROWTH_BYTES = 64 * GIB;

export interface FileSizeInput {
  readonly plan: Pick<VmPlan, 'drives'>;
  /** The VM's own folder. */
  readonly directory: string;
  readonly memSizeMib: number;
}

/**
 * How long a file may get that a VMM writes in one life, in bytes: a dump of its memory and its disks fit,
 * and its logs may grow by 64 GiB. It keeps a VMM from files of absurd sizes; it does not bound the number of
 * files. The sizes of disks are those of the plan: a VMM that was taken over can lengthen its own.
 */
export function fileSizeLimit({ plan, directory, memSizeMib }: FileSizeInput): number {
  const disks = privateDrives(plan.drives).map(
    ({ file, sizeBytes }) => sizeBytes ?? sizeOf(join(directory, file)),
  );
  // The one log that a life goes on with.
  const consoleBytes = sizeOf(join(directory, VM_FILES.console));
  return Math.max(memSizeMib * MIB, consoleBytes, ...disks) + LOG_GROWTH_BYTES;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
