import { ScriptedErrno } from '@microvm/guest';
import { parse } from 'unbash';
import type { AndOr, CommandNode, CompoundList, ParsedScript, Pipeline, Statement } from 'unbash';
import type { CommandEnd } from '../guest/guest-script.js';
import { accountOf } from '../guest/accounts.js';
import { DiskError } from '../fs/inode.js';
import { errnoText } from '../process/errno-text.js';
import type { Descriptors, Process } from '../process/process.js';
import { runCompound } from './compound.js';
import { Expander } from './expand.js';
import { RedirectError } from './redirect.js';
import { checkSyntax, FunctionReturn, LoopJump, ShellError, ShellExit } from './shell-error.js';
import type { ShellState } from './shell-state.js';
import { redirected, runSimple } from './simple-command.js';
import { capture, pipe, startInBackground } from './subprocess.js';

/** The process that a shell is, or a part of it that a subshell is. */
export type ShellProcess = Pick<Process, 'pid' | 'signal' | 'system' | 'account' | 'files'>;

/** One shell: runs what was parsed, in its state. */
export class Shell {
  readonly process: ShellProcess;
  readonly state: ShellState;
  readonly expander: Expander;
  /** Commands whose failure does not end the shell under `set -e` are being run. */
  #tolerated = 0;
  /** The status of the last command substitution of a command without a name. */
  captured: number | undefined;
  #trapped: string[] = [];

  constructor(process: ShellProcess, state: ShellState) {
    this.process = process;
    this.state = state;
    this.expander = new Expander({
      state,
      files: process.files,
      pid: process.pid,
      homeOf: (user) => homeOf(process, user),
      capture: (script) => capture(this, script),
      parse,
    });
  }

  /** Runs a text of commands. Throws a `ShellError` for one that cannot be parsed. */
  async runText(text: string): Promise<number> {
    return this.runScript(parse(text));
  }

  async runScript(script: ParsedScript): Promise<number> {
    checkSyntax(script);
    return this.runList(script.commands);
  }

  async runList(statements: readonly Statement[]): Promise<number> {
    let status = 0;
    for (const { command, background } of statements) {
      if (background === true) status = startInBackground(this, command);
      else status = await this.run(command);
      this.state.lastStatus = status;
    }
    return status;
  }

  /** Runs a list whose failure is not the shell's, such as the condition of an `if`. */
  async runCondition({ commands }: CompoundList): Promise<number> {
    this.#tolerated += 1;
    try {
      return await this.runList(commands);
    } finally {
      this.#tolerated -= 1;
    }
  }

  /** Runs one command, of whatever kind, and answers its status. */
  async run(node: CommandNode | Pipeline | AndOr): Promise<number> {
    await this.process.system.breathe(this.process.signal);
    await this.#runTraps();
    switch (node.type) {
      case 'AndOr':
        return this.#andOr(node);
      case 'Pipeline':
        return this.#pipeline(node);
      case 'Function':
        this.state.functions.set(node.name.value, node);
        return 0;
      case 'Command':
        return this.settle(await this.#reporting(() => runSimple(this, node)));
      case 'Redirected': {
        const { command, redirects } = node;
        const act = () => redirected(this, redirects, () => this.run(command));
        return this.settle(await this.#reporting(act));
      }
      case 'Coproc':
        throw new ShellError('coproc: not in sh');
      case 'ArithmeticCommand':
      case 'ArithmeticFor':
      case 'BraceGroup':
      case 'Case':
      case 'For':
      case 'If':
      case 'Select':
      case 'Subshell':
      case 'TestCommand':
      case 'While':
        return runCompound(this, node);
    }
  }

  /** Runs it as a subshell does: what it changes is its own. */
  async subshell(
    descriptors: Descriptors,
    body: (shell: Shell) => Promise<number>,
    parent: AbortSignal = this.process.signal,
  ): Promise<CommandEnd> {
    const state = this.state.fork(descriptors);
    try {
      return await this.process.system.inProcess(parent, (own) => {
        const shell = new Shell({ ...shellParts(this.process), ...own }, state);
        shell.#tolerated = this.#tolerated;
        return shell.runToEnd(() => body(shell));
      });
    } finally {
      for (const file of state.descriptors.values()) file.release();
    }
  }

  /** Runs to the end of this shell: `exit`, an error that ends it, and the trap of its exit. */
  async runToEnd(body: () => Promise<number>): Promise<number> {
    const { pid, system } = this.process;
    system.onSignal(pid, (name) => this.#takeSignal(name));
    let status = await this.#untilExit(body);
    const trap = this.state.traps.get('EXIT');
    this.state.traps.delete('EXIT');
    this.state.lastStatus = status;
    if (trap !== undefined && trap !== '') {
      const exit = await this.#untilExit(async () => {
        await this.runText(trap);
        return status;
      });
      status = exit;
    }
    return status;
  }

  /** A line of the shell's own on its standard error. */
  async complain(message: string): Promise<void> {
    const file = this.state.descriptors.get(2);
    await file?.write(Buffer.from(`${baseName(this.state.name)}: ${message}\n`), this.process.signal);
  }

  async #untilExit(body: () => Promise<number>): Promise<number> {
    try {
      return await body();
    } catch (error) {
      if (error instanceof ShellExit || error instanceof FunctionReturn) return error.exitCode;
      if (error instanceof LoopJump) return 0;
      if (error instanceof ShellError) {
        await this.complain(error.message);
        return error.exitCode;
      }
      if (error instanceof RangeError && /call stack/.test(error.message)) {
        await this.complain('nested too deeply');
        return 2;
      }
      throw error;
    }
  }

  /** Errors of the guest's system become a message and a status. */
  async #reporting(act: () => Promise<number>): Promise<number> {
    try {
      return await act();
    } catch (error) {
      if (error instanceof RedirectError) {
        await this.complain(error.message);
        return 1;
      }
      if (error instanceof ScriptedErrno && error.step === 'fork') {
        throw new ShellError("can't fork: Resource temporarily unavailable");
      }
      if (!(error instanceof DiskError) || error.errno === 'EPIPE') throw error;
      await this.complain(errnoText(error.errno));
      return 1;
    }
  }

  /** Ends the shell where `set -e` asks for it. */
  settle(status: number): number {
    this.state.lastStatus = status;
    if (status !== 0 && this.state.options.errexit && this.#tolerated === 0) throw new ShellExit(status);
    return status;
  }

  async #andOr({ commands, operators }: AndOr): Promise<number> {
    let status = 0;
    for (const [index, command] of commands.entries()) {
      const operator = operators[index - 1];
      if (operator === '&&' && status !== 0) continue;
      if (operator === '||' && status === 0) continue;
      const isLast = index === commands.length - 1;
      if (!isLast) this.#tolerated += 1;
      try {
        status = await this.run(command);
        this.state.lastStatus = status;
      } finally {
        if (!isLast) this.#tolerated -= 1;
      }
    }
    return status;
  }

  async #pipeline(node: Pipeline): Promise<number> {
    const negations = node.prefixes.filter(({ type }) => type === 'Negation').length;
    if (negations > 0) this.#tolerated += 1;
    let status: number;
    try {
      const [only] = node.commands;
      const isOne = node.commands.length === 1 && only !== undefined;
      status = isOne ? await this.run(only) : await pipe(this, node);
    } finally {
      if (negations > 0) this.#tolerated -= 1;
    }
    if (negations % 2 === 1) return status === 0 ? 1 : 0;
    return negations > 0 ? status : this.settle(status);
  }

  /** Whether the shell has a trap for it; the trap runs before the next command. */
  #takeSignal(name: string): boolean {
    const key = name.replace(/^SIG/, '');
    if (!this.state.traps.has(key)) return false;
    this.#trapped.push(key);
    return true;
  }

  async #runTraps(): Promise<void> {
    for (const key of this.#trapped.splice(0)) {
      const command = this.state.traps.get(key) ?? '';
      const { lastStatus } = this.state;
      if (command !== '') await this.runText(command);
      this.state.lastStatus = lastStatus;
    }
  }
}

function shellParts({ system, account, files }: ShellProcess): Omit<ShellProcess, 'pid' | 'signal'> {
  return { system, account, files };
}

function homeOf({ system }: ShellProcess, user: string): string | undefined {
  try {
    return accountOf(system.files, user).home;
  } catch {
    return undefined; // no such user: the tilde stands for itself
  }
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
