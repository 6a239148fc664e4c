import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
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
  /** Beside that of this process; an undefined value leaves the name out. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** A descriptor of ours that becomes standard output, of which the answer then has nothing. */
  readonly outputDescriptor?: number;
  /** A descriptor of ours that becomes standard input; ours stays open. */
  readonly inputDescriptor?: number;
  /** For a program that works on what strangers made. */
  readonly limits?: ProgramLimits;
  /** The program is killed when this process ends, however it ends. */
  readonly diesWithUs?: boolean;
  /** Written to standard input, which is then closed; none otherwise. */
  readonly input?: Uint8Array;
  /**
   * Called with each line that the program writes to its descriptor 3. A throw ends the program and is passed
   * on.
   */
  readonly onStatusLine?: (line: string) => void;
  /**
   * Called with each line of standard output, which is then not collected. A throw ends the program as well.
   */
  readonly onOutputLine?: (line: string) => void;
  /** Exit codes that are no failure; 0 when absent. */
  readonly goodExitCodes?: readonly number[];
}

/** Hard limits, which the kernel keeps. */
export interface ProgramLimits {
  readonly cpuSeconds: number;
  readonly addressSpaceBytes: number;
  readonly fileSizeBytes: number;
}

// More than the characters that an error keeps of it.
const STDERR_BYTES = 64 * 1024;
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
    const { onOutputLine, onStatusLine } = options;
    const [stdout, stderr, end] = await Promise.all([
      onOutputLine === undefined ? collect(child.stdout) : readLines(child.stdout, onOutputLine, kill),
      collectEnd(child.stderr),
      ended(child, program),
      onStatusLine === undefined ? undefined : readLines(child.stdio[3], onStatusLine, kill),
    ]);
    signal?.throwIfAborted();
    if (end.exitCode !== null && goodExitCodes.includes(end.exitCode)) return stdout;
    const failure = new ProgramFailed(program, { ...end, stderr: stderr.toString() });
    throw isNotFound(failure) ? new ProgramMissing(program, failure) : failure;
  } catch (error) {
    // Until it has ended it may write to the folders of the caller, who removes them next.
    kill();
    await gone(child);
    throw error;
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}

function start(program: string, args: readonly string[], options: ProgramOptions): ChildProcess {
  const [file = program, ...rest] = [...wrappers(options), program, ...args];
  const child = spawn(file, rest, {
    cwd: options.cwd,
    env: {
      ...process.env,
      ...options.env,
      PATH: `${process.env['PATH'] ?? '/usr/bin:/bin'}${SYSTEM_FOLDERS}`,
      LC_ALL: 'C.UTF-8',
    },
    stdio: [
      options.inputDescriptor ?? (options.input === undefined ? 'ignore' : 'pipe'),
      options.outputDescriptor ?? 'pipe',
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

async function gone(child: ChildProcess): Promise<void> {
  const { pid, exitCode, signalCode } = child;
  if (pid !== undefined && exitCode === null && signalCode === null) await once(child, 'exit');
}

async function collect(stream: Readable | null): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream ?? []) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The end of a text: a program that works on what strangers made may complain about each bit of it. */
async function collectEnd(stream: Readable | null): Promise<Buffer> {
  let end = Buffer.alloc(0);
  for await (const chunk of stream ?? []) end = Buffer.concat([end, chunk as Buffer]).subarray(-STDERR_BYTES);
  return end;
}

async function readLines(stream: unknown, onLine: (line: string) => void, kill: () => void): Promise<Buffer> {
  try {
    for await (const line of createInterface({ input: stream as Readable })) onLine(line);
  } catch (error) {
    kill();
    throw error;
  }
  return Buffer.alloc(0);
}

/** Programs of util-linux that set something and then become the program itself. */
function wrappers({ limits, diesWithUs = false }: ProgramOptions): string[] {
  const death = diesWithUs ? ['setpriv', '--pdeathsig', 'KILL', '--'] : [];
  if (limits === undefined) return death;
  const { cpuSeconds, addressSpaceBytes, fileSizeBytes } = limits;
  const bounds = [`--cpu=${cpuSeconds}`, `--as=${addressSpaceBytes}`, `--fsize=${fileSizeBytes}`, '--core=0'];
  return [...death, 'prlimit', ...bounds, '--'];
}

/** A wrapper's way to say that there is no such program. */
function isNotFound({ exitCode, stderrTail }: ProgramFailed): boolean {
  return exitCode === 127 && /^(setpriv|prlimit): failed to execute /m.test(stderrTail);
}
