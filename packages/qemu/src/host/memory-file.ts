import { readdir, readlink } from 'node:fs/promises';
import { ignoreMissing } from '@microvm/driver-kit';

// What QEMU calls the memfd of its memory-backend-memfd; nothing else of it has that name.
const MEMFD_LINK = '/memfd:memory-backend-memfd';

/**
 * The guest's memory as a file, where the VMM holds it in a memfd; undefined for one that maps a snapshot's
 * file: what such a guest wrote is in no file.
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
