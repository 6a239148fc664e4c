import { spawn } from 'node:child_process';
import { accessSync, constants as fileModes } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** A step that went wrong in a way that needs no stack trace. */
export class StepFailed extends Error {}

/** What nx must never do here: keep a process behind, or call home. */
export const NX_ENV = { NX_DAEMON: 'false', NX_NO_CLOUD: 'true' };

/**
 * Runs a program in the root with our own terminal; resolves with its exit code, 128 + n after a signal. Ctrl-C reaches the program
 * too, which ends in its own way; only then do we.
 */
export async function spawnInherited(program, args, { env = {} } = {}) {
  const ignore = () => {};
  process.on('SIGINT', ignore);
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(program, args, { cwd: ROOT, stdio: 'inherit', env: { ...process.env, ...env } });
      const forward = () => child.kill('SIGTERM');
      process.once('SIGTERM', forward);
      child.once('error', reject);
      child.once('close', (code, signal) => {
        process.removeListener('SIGTERM', forward);
        resolve(code ?? 128 + constants.signals[signal]);
      });
    });
  } finally {
    process.removeListener('SIGINT', ignore);
  }
}

/** Runs a program and fails the step when it ends otherwise than well. */
export async function run(program, args, options) {
  const text = [program, ...args].join(' ').replace(`${ROOT}/`, '');
  let code;
  try {
    code = await spawnInherited(program, args, options);
  } catch (error) {
    throw new StepFailed(`\`${text}\` did not start: ${error.message}`);
  }
  if (code !== 0) throw new StepFailed(`\`${text}\` ended with exit code ${code}`);
}

/** A program of an npm package of ours. */
export function bin(name) {
  return join(ROOT, 'node_modules', '.bin', name);
}

/** Says what is done, does it, says how long it took. `work` may return what it found. */
export async function step(title, work) {
  console.log(`▸ ${title}`);
  const begun = performance.now();
  const seconds = () => `${((performance.now() - begun) / 1000).toFixed(1)} s`;
  try {
    const found = await work();
    console.log(`✔ ${title}: ${found === undefined ? '' : `${found}, `}${seconds()}`);
  } catch (error) {
    if (error instanceof StepFailed) error.message = `${title} failed after ${seconds()}: ${error.message}`;
    throw error;
  }
}

/** Runs a script's main function; a failed step ends with exit code 1 and one line that says what failed. */
export async function main(work) {
  try {
    process.exitCode = (await work()) ?? 0;
  } catch (error) {
    console.error(error instanceof StepFailed ? `✖ ${error.message}` : error);
    process.exitCode = 1;
  }
}

/** Folders in which programs are looked for. Those of the administrator are not in every user's PATH on Debian. */
export function programFolders(path = process.env.PATH ?? '') {
  return [...path.split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'].filter(Boolean);
}

/** The path of a program; undefined where there is none that can be executed. */
export function findProgram(program, path) {
  return programFolders(path)
    .map((folder) => join(folder, program))
    .find((candidate) => {
      try {
        accessSync(candidate, fileModes.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
