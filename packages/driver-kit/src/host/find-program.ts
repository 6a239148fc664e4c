import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import { hasCode } from './system-error.js';

const run = promisify(execFile);
const TIMEOUT_MS = 10_000;

/** The absolute path of a program, looked up in PATH; undefined when it is not there or cannot be run. */
export async function findProgram(name: string, path: string): Promise<string | undefined> {
  const folders = path.split(delimiter).filter(isAbsolute);
  const candidates = isAbsolute(name) ? [name] : folders.map((folder) => join(folder, name));
  for (const candidate of candidates) {
    const isThere = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return candidate;
  }
  return undefined;
}

/**
 * The output of a program; undefined when the program fails. Rejects when the host has no room for a process,
 * because that says nothing of the program.
 */
export async function outputOfProgram(program: string, args: readonly string[]): Promise<string | undefined> {
  try {
    return (await run(program, args, { timeout: TIMEOUT_MS })).stdout;
  } catch (error) {
    if (hasCode(error, 'EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM')) throw error;
    // For any other reason the caller's finding is that the program does not work.
    return undefined;
  }
}
