import { ScriptedErrno, type ScriptedCommand } from '@microvm/guest';
import { onAbort, untilAborted, endsByDefault } from '@microvm/runtime';
import { accountOf, nameOf, type Account } from '../guest/accounts.js';
import type { CommandEnd, GuestScript, ScriptedGuest } from '../guest/guest-script.js';
import type { FileSystem } from '../fs/file-system.js';
import { DiskError } from '../fs/inode.js';
import { runProgram, type ProgramTable } from '../programs/registry.js';
import { errnoText } from './errno-text.js';
import { findProgram } from './find-program.js';
import { Process, type ProcessParts } from './process.js';

/** Processes of one command at once, so that a script of a guest cannot fill the host's memory. */
const MOST_PROCESSES = 512;
const MOST_INTERPRETERS = 4;
/** How long processes may keep the host's event loop. */
const BREATH_MS = 8;

export interface ProcessSystemParts {
  readonly guest: ScriptedGuest;
  readonly script: GuestScript;
  readonly programs: ProgramTable;
  /** The disk as root sees it. */
  readonly files: FileSystem;
  /** The command that all of it began with. */
  readonly command: ScriptedCommand;
  readonly account: Account;
  /** Aborted when the command is killed or its guest is gone. */
  readonly signal: AbortSignal;
  /** Resolves while the guest's time goes on: at once, or after a pause of the VM. */
  untilGoing(): Promise<void> | undefined;
}

interface Entry {
  readonly abort: AbortController;
  /** Answers whether the process deals with this signal itself. */
  onSignal: ((name: string) => boolean) | undefined;
}

/** All processes that one command of a guest has started. */
export class ProcessSystem {
  readonly guest: ScriptedGuest;
  readonly files: FileSystem;
  readonly command: ScriptedCommand;
  readonly account: Account;
  readonly #parts: ProcessSystemParts;
  readonly #all = new AbortController();
  readonly #entries = new Map<number, Entry>();
  #lastPid = 1;
  #lastBreath = performance.now();
  #thrown: { readonly error: unknown } | undefined;

  constructor(parts: ProcessSystemParts) {
    this.#parts = parts;
    this.guest = parts.guest;
    this.files = parts.files;
    this.command = parts.command;
    this.account = parts.account;
    onAbort(parts.signal, () => this.#all.abort(parts.signal.reason));
  }

  /** Aborted when all of it is killed. */
  get signal(): AbortSignal {
    return this.#all.signal;
  }

  /** What a script has thrown; then everything has been killed. */
  get thrown(): { readonly error: unknown } | undefined {
    return this.#thrown;
  }

  /** Runs a program of the guest to its end. Throws a `ScriptedErrno` for one that cannot be started. */
  async run(parts: ProcessParts, signal: AbortSignal = this.signal): Promise<CommandEnd> {
    try {
      return await this.inProcess(signal, ({ pid, signal: own }) =>
        this.#start(new Process(parts, { pid, signal: own, system: this })),
      );
    } finally {
      for (const file of parts.descriptors.values()) file.release();
    }
  }

  /**
   * Runs something as a process: it has a number, and a signal that kills it. Its end by a signal is told as
   * such.
   */
  async inProcess(
    parent: AbortSignal,
    body: (own: { readonly pid: number; readonly signal: AbortSignal }) => Promise<CommandEnd>,
  ): Promise<CommandEnd> {
    if (this.#entries.size >= MOST_PROCESSES) throw new ScriptedErrno('EAGAIN', 'fork');
    const abort = new AbortController();
    const stop = onAbort(parent, () => abort.abort(parent.reason));
    const pid = (this.#lastPid += 1);
    this.#entries.set(pid, { abort, onSignal: undefined });
    try {
      return await untilAborted(body({ pid, signal: abort.signal }), abort.signal);
    } catch (error) {
      if (abort.signal.aborted && this.#thrown === undefined)
        return { signal: signalOf(abort.signal.reason) };
      if (error instanceof DiskError && error.errno === 'EPIPE') return { signal: 'SIGPIPE' };
      throw error;
    } finally {
      this.#entries.delete(pid);
      stop();
    }
  }

  /** Sends a signal; false when there is no such process. */
  kill(pid: number, name: string): boolean {
    const entry = this.#entries.get(pid);
    if (entry === undefined) return false;
    if (name !== 'SIGKILL' && entry.onSignal?.(name) === true) return true;
    if (endsByDefault(name)) entry.abort.abort(name);
    return true;
  }

  /** Throws a `ScriptedErrno` for one whom the guest does not know. */
  accountNamed(name: string): Account {
    return accountOf(this.files, name.startsWith(':') ? `0${name}` : name);
  }

  /** As the guest's /etc/passwd names it; else the number. */
  userName(uid: number): string {
    return nameOf(this.files, '/etc/passwd', uid);
  }

  groupName(gid: number): string {
    return nameOf(this.files, '/etc/group', gid);
  }

  /** Whether the script of the test has a program of this name. */
  hasScript(name: string): boolean {
    const { programs } = this.#parts.script;
    return programs !== undefined && Object.hasOwn(programs, name);
  }

  /** Whether such a process is there. */
  has(pid: number): boolean {
    return this.#entries.has(pid);
  }

  /** From here on the process deals with its signals itself, where the listener says so. */
  onSignal(pid: number, listener: (name: string) => boolean): void {
    const entry = this.#entries.get(pid);
    if (entry !== undefined) entry.onSignal = listener;
  }

  /**
   * Lets the host's event loop have its turn when processes have kept it for a while, and waits while the VM
   * is paused. Every loop of a program or a shell goes through here, or nothing could stop it.
   */
  async breathe(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const going = this.#parts.untilGoing();
    if (going !== undefined) await going;
    if (performance.now() - this.#lastBreath < BREATH_MS) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#lastBreath = performance.now();
    signal.throwIfAborted();
  }

  async #start(process: Process, interpreters = 0): Promise<CommandEnd> {
    const scripted = await this.#runScript(process);
    if (scripted !== undefined) return scripted;
    const found = findProgram(process);
    if (found.kind === 'script') {
      // As Linux: a script whose interpreter is a script, and so on, is given up.
      if (interpreters >= MOST_INTERPRETERS) throw new ScriptedErrno('ELOOP');
      const { pid, signal } = process;
      const argv = [...found.interpreter, ...process.args] as const;
      const next = new Process({ ...process, argv }, { pid, signal, system: this });
      return this.#start(next, interpreters + 1);
    }
    try {
      return await runProgram(this.#parts.programs, found.name, process);
    } catch (error) {
      if (error instanceof DiskError && error.errno !== 'EPIPE')
        return process.complain(errnoText(error.errno));
      if (!(error instanceof DiskError)) this.#fail(error, process.signal);
      throw error;
    }
  }

  /** An error that is nobody's in the guest is the test's: all of the command ends with it. */
  #fail(error: unknown, signal: AbortSignal): void {
    if (error instanceof ScriptedErrno || signal.aborted) return;
    this.#thrown ??= { error };
    this.#all.abort('SIGKILL');
  }

  /** What the script of the test says to a program of this name; undefined: it does not know it. */
  async #runScript(process: Process): Promise<CommandEnd | undefined> {
    const { script } = this.#parts;
    const { programs } = script;
    const { argv, name } = process;
    const byName = [argv[0], name].find((key) => programs !== undefined && Object.hasOwn(programs, key));
    const program = byName === undefined ? undefined : programs?.[byName];
    if (program === undefined && script.exec === undefined) return undefined;
    const command = this.#commandFor(process);
    try {
      // Called at once: a kill that comes behind the command's start must find its listeners.
      const end = program === undefined ? undefined : await program(command, this.guest);
      return end ?? (script.exec === undefined ? undefined : await script.exec(command, this.guest));
    } catch (error) {
      this.#fail(error, process.signal);
      throw error;
    }
  }

  #commandFor(process: Process): ScriptedCommand {
    const { argv, env, cwd, signal } = process;
    const terminal = process.terminalAt(0) ?? process.terminalAt(1);
    const { terminal: _, ...command } = this.command;
    return {
      ...command,
      ...(terminal === undefined ? {} : { terminal }),
      argv,
      env,
      cwd,
      signal,
      stdin: { [Symbol.asyncIterator]: () => inputOf(process) },
      stdout: (data) => process.write(data),
      stderr: (data) => process.write(data, 2),
    };
  }
}

async function* inputOf(process: Process): AsyncGenerator<Buffer> {
  for (let data = await process.read(); data !== undefined; data = await process.read()) yield data;
}

function signalOf(reason: unknown): NodeJS.Signals {
  return typeof reason === 'string' ? (reason as NodeJS.Signals) : 'SIGKILL';
}
