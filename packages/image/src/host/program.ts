import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

/** A program that this host does not have. */
export class ProgramMissing extends Error {
  override readonly name = 'ProgramMissing';
  readonly program: string;

  constructor(program: string, cause: unknown) {
    super(`${program}: no such program`, { cause });
    this.program = program;
  }
}

/** A program that ran and ended otherwise than well. */
export class ProgramFailed extends Error {
  override readonly name = 'ProgramFailed';
  readonly program: string;
  readonly exitCode: number | null;
  /** The last 2,000 characters. */
  readonly stderrTail: string;

  constructor(program: string, end: { exitCode: number | null; signal: string | null; stderr: string }) {
    const how = end.exitCode === null ? `killed by ${end.signal}` : `exit code ${end.exitCode}`;
    const stderrTail = end.stderr.trim().slice(-2000);
    super(`${program}: ${how}${stderrTail === '' ? '' : `: ${stderrTail}`}`);
    this.program = program;
    this.exitCode = end.exitCode;
    this.stderrTail = stderrTail;
  }
}

export interface ProgramOptions {
  readonly signal?: AbortSignal | undefined;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Written to standard input, which is then closed; none otherwise. */
  readonly input?: Uint8Array;
  /**
   * Called with each line that the program writes to its descriptor 3. A throw ends the program and is passed
   * on.
   */
  readonly onStatusLine?: (line: string) => void;
  /** Exit codes that are no failure; 0 when absent. */
  readonly goodExitCodes?: readonly number[];
}

// mkfs.ext4 and the like live there, and only root's PATH has these folders on Debian.
const SYSTEM_FOLDERS = ':/usr/local/sbin:/usr/sbin:/sbin';

/**
 * Runs a program by its arguments, never through a shell, and resolves with its standard output. An abort
 * kills it, waits for its end and rejects with the signal's reason.
 *
 * @throws ProgramMissing, ProgramFailed
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Buffer> {
  const { signal, goodExitCodes = [0] } = options;
  signal?.throwIfAborted();
  const child = start(program, args, options);
  const kill = (): void => void child.kill('SIGKILL');
  signal?.addEventListener('abort', kill, { once: true });
  try {
    const [stdout, stderr, end] = await Promise.all([
      collect(child.stdout),
      collect(child.stderr),
      ended(child, program),
      readStatusLines(child, options.onStatusLine, kill),
    ]);
    signal?.throwIfAborted();
    if (end.exitCode !== null && goodExitCodes.includes(end.exitCode)) return stdout;
    throw new ProgramFailed(program, { ...end, stderr: stderr.toString() });
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}

function start(program: string, args: readonly string[], options: ProgramOptions): ChildProcess {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: {
      ...process.env,
      ...options.env,
      PATH: `${process.env['PATH'] ?? '/usr/bin:/bin'}${SYSTEM_FOLDERS}`,
      LC_ALL: 'C.UTF-8',
    },
    stdio: [
      options.input === undefined ? 'ignore' : 'pipe',
      'pipe',
      'pipe',
      options.onStatusLine === undefined ? 'ignore' : 'pipe',
    ],
  });
  // A program that ends without reading all of its input is judged by its exit code.
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.input);
  return child;
}

interface ProgramEnd {
  readonly exitCode: number | null;
  readonly signal: string | null;
}

function ended(child: ChildProcess, program: string): Promise<ProgramEnd> {
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'ENOENT' ? new ProgramMissing(program, error) : error);
    });
    child.once('close', (exitCode, signal) => resolve({ exitCode, signal }));
  });
}

async function collect(stream: Readable | null): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream ?? []) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function readStatusLines(
  child: ChildProcess,
  onLine: ((line: string) => void) | undefined,
  kill: () => void,
): Promise<void> {
  if (onLine === undefined) return;
  try {
    for await (const line of createInterface({ input: child.stdio[3] as Readable })) onLine(line);
  } catch (error) {
    kill();
    throw error;
  }
}
