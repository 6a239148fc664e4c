import { lstat, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processesUsing } from './footprint.js';

const CHUNK_BYTES = 1024 * 1024;

/**
 * Places of the host that hold one of these byte strings: files below the folder, whatever they are for, and
 * the arguments and environments of this process and of every process that works on the folder.
 */
export async function placesOf(needles: readonly Buffer[], folder: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const path of await filesBelow(folder)) if (await fileHas(path, needles)) found.push(path);
  for (const pid of [...(await processesUsing(folder)), process.pid]) {
    for (const file of ['cmdline', 'environ']) {
      const path = `/proc/${pid}/${file}`;
      // It may have ended by now.
      const bytes = await readFile(path).catch(() => Buffer.alloc(0));
      if (needles.some((needle) => bytes.includes(needle))) found.push(path);
    }
  }
  return found;
}

/**
 * What the value looks like where somebody writes it: as it is, and in the encodings that JSON carries bytes
 * by.
 */
export function shapesOf(value: string): readonly Buffer[] {
  const bytes = Buffer.from(value);
  const encoded = ['base64', 'base64url', 'hex'] as const;
  return [bytes, ...encoded.map((encoding) => Buffer.from(bytes.toString(encoding).replace(/=+$/, '')))];
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function fileHas(path: string, needles: readonly Buffer[]): Promise<boolean> {
  const longest = Math.max(...needles.map(({ length }) => length));
  // A disk has holes: what is not allocated is not read.
  const { size, blocks } = await lstat(path);
  if (blocks === 0) return false;
  const file = await open(path, 'r');
  try {
    let rest = Buffer.alloc(0);
    for (let at = 0; at < size; at += CHUNK_BYTES) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, at);
      const bytes = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      if (needles.some((needle) => bytes.includes(needle))) return true;
      rest = bytes.subarray(Math.max(0, bytes.length - longest));
    }
    return false;
  } finally {
    await file.close();
  }
}
