import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

/** A file of JSON: not there, not what it should be, or its value. */
export type JsonRead =
  | { readonly missing: true; readonly problem?: undefined; readonly value?: undefined }
  | { readonly missing: false; readonly problem: string; readonly value?: undefined }
  | { readonly missing: false; readonly problem?: undefined; readonly value: unknown };

/** Codes that say that something else stands where a file should be; other codes are a fault of the host. */
const NO_FILE: readonly (string | undefined)[] = ['ELOOP', 'EISDIR', 'ENXIO'];

/**
 * Reads a regular file of at most `maxBytes` without following a link. Only an absent file is `missing` and
 * only content is a `problem`: the system's other errors (no descriptor left, no permission, a bad disk)
 * reject, so that nobody takes a good file for a bad one.
 */
export async function readJson(path: string, maxBytes: number): Promise<JsonRead> {
  let file: FileHandle;
  try {
    // O_NONBLOCK: opening a FIFO would wait for its writer.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return { missing: true };
    if (NO_FILE.includes(code)) return { missing: false, problem: 'not a regular file' };
    throw error;
  }
  try {
    return await parse(file, maxBytes);
  } finally {
    await file.close();
  }
}

async function parse(file: FileHandle, maxBytes: number): Promise<JsonRead> {
  const found = await file.stat();
  if (!found.isFile()) return { missing: false, problem: 'not a regular file' };
  if (found.size > maxBytes) {
    return { missing: false, problem: `${found.size} bytes, more than the ${maxBytes} of any such file` };
  }
  const text = await file.readFile('utf8');
  try {
    return { missing: false, value: JSON.parse(text) as unknown };
  } catch (error) {
    // The message of the parser quotes the file.
    return { missing: false, problem: `not JSON: ${(error as Error).message.slice(0, 128)}` };
  }
}
