import { spawn } from 'node:child_process';
import { accessSync, constants as fileModes, createWriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** A step that went wrong in a way that needs no stack trace. */
export class StepFailed extends Error {}

/** What nx must never do here: keep a process behind, or call home. */
export const NX_ENV = { NX_DAEMON: 'false', NX_NO_CLOUD: 'true' };

/** Folder of what quiet programs said. */
const LOGS = join(ROOT, 'build', 'log');
/** How much of a log is shown when its program fails. */
const SHOWN_LINES = 100;

/**
 * Runs a program in the root with our own terminal; resolves with its exit code, 128 + n after a signal.
 * Ctrl-C reaches the program too, which ends in its own way; only then do we. `onStart` gets the child
 * process.
 */
export async function spawnInherited(
  program,
  args,
  { env = {}, stdio = 'inherit', onStart = () => {} } = {},
) {
  const ignore = () => {};
  process.on('SIGINT', ignore);
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(program, args, { cwd: ROOT, stdio, env: { ...process.env, ...env } });
      onStart(child);
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

/** Runs a program as `run` does, with its standard output shown and passed on line by line. */
export function runWatched(program, args, onLine) {
  const env = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {};
  const onStart = ({ stdout }) => {
    stdout.pipe(process.stdout, { end: false });
    createInterface({ input: stdout }).on('line', onLine);
  };
  return run(program, args, { env, onStart, stdio: ['inherit', 'pipe', 'inherit'] });
}

/**
 * Runs a program and fails the step when it ends otherwise than well. With `log`, the name of a file, what
 * the program says goes into that file, and is shown only when the program fails; `onLine` gets each line of
 * the program's standard output.
 */
export async function run(program, args, { log, onLine, ...options } = {}) {
  const text = [program, ...args].join(' ').replace(`${ROOT}/`, '');
  let code;
  try {
    code = await (log === undefined
      ? spawnInherited(program, args, options)
      : spawnLogged(program, args, { log, onLine, ...options }));
  } catch (error) {
    throw new StepFailed(`\`${text}\` did not start: ${error.message}`);
  }
  if (code === 0) return;
  if (log !== undefined) await showEnd(logPath(log));
  throw new StepFailed(`\`${text}\` ended with exit code ${code}`);
}

function logPath(log) {
  return join(LOGS, `${log}.log`);
}

async function spawnLogged(program, args, { log, onLine = () => {}, ...options }) {
  await mkdir(LOGS, { recursive: true });
  const file = createWriteStream(logPath(log));
  try {
    return await spawnInherited(program, args, {
      ...options,
      stdio: ['ignore', 'pipe', 'pipe'],
      onStart: ({ stdout, stderr }) => {
        for (const stream of [stdout, stderr]) stream.on('data', (bytes) => file.write(bytes));
        createInterface({ input: stdout }).on('line', onLine);
      },
    });
  } finally {
    file.end();
    await finished(file);
  }
}

async function showEnd(path) {
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
  if (lines.length > SHOWN_LINES) console.error(`… (all of it is in ${path})`);
  console.error(lines.slice(-SHOWN_LINES).join('\n'));
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

/**
 * Folders in which programs are looked for. Those of the administrator are not in every user's PATH on
 * Debian.
 */
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
