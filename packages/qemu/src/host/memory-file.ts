import { readdir, readlink } from 'node:fs/promises';
import { ignoreMissing } from '@microvm/driver-kit';

// QEMU's name for the memfd of its memory-backend-memfd; no other file of QEMU has this name.
const MEMFD_LINK = '/memfd:memory-backend-memfd';

/**
 * The guest's memory as a file, where the VMM holds the memory in a memfd. Undefined for a VMM that maps a
 * snapshot's file, because what its guest wrote is in no file.
 */
export async function memoryFileOf(pid: number): Promise<string | undefined> {
  const folder = `/proc/${pid}/fd`;
  for (const fd of await readdir(folder)) {
    // A descriptor may be closed while we look.
    const target = await readlink(`${folder}/${fd}`).catch(ignoreMissing);
    if (target?.startsWith(MEMFD_LINK) === true) return `${folder}/${fd}`;
  }
  return undefined;
}
