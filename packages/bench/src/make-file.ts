import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { MIB } from '@microvm/runtime';

const BLOCK = randomBytes(MIB);

/** A file of so many MiB, of which so many, evenly spread, are data. Its pages are in memory and on disk. */
export async function makeFile(path: string, sizeMib: number, dataMib: number): Promise<void> {
  await using file = await open(path, 'wx');
  await file.truncate(sizeMib * MIB);
  const step = Math.floor(sizeMib / dataMib);
  for (let index = 0; index < dataMib; index += 1) await file.write(BLOCK, 0, MIB, index * step * MIB);
  await file.sync();
}
