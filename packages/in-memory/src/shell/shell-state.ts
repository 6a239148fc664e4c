import type { Function as FunctionNode } from 'unbash';
import { CommandInput, CommandOutput } from '../process/command-files.js';
import type { Descriptors, Process } from '../process/process.js';
import { ShellError } from './shell-error.js';

export interface Variable {
  /** Undefined: named by `export` or `readonly`, but not set. */
  value: string | undefined;
  isExported: boolean;
  isReadOnly: boolean;
}

/** The options of `set` that mean something here. */
export interface ShellOptions {
  allexport: boolean;
  errexit: boolean;
  noclobber: boolean;
  noexec: boolean;
  noglob: boolean;
  nounset: boolean;
  pipefail: boolean;
  verbose: boolean;
  xtrace: boolean;
}

export const OPTION_LETTERS: Readonly<Record<string, keyof ShellOptions>> = {
  a: 'allexport',
  e: 'errexit',
  C: 'noclobber',
  n: 'noexec',
  f: 'noglob',
  u: 'nounset',
  v: 'verbose',
  x: 'xtrace',
};

/** A command in the background. */
export interface Job {
  readonly pid: number;
  readonly status: Promise<number>;
}

const MOST_VARIABLE_BYTES = 16 << 20;

/** All that a subshell gets a copy of. */
export class ShellState {
  readonly variables = new Map<string, Variable>();
  readonly functions = new Map<string, FunctionNode>();
  /** Commands by the signal's name without `SIG`, or `EXIT`. */
  readonly traps = new Map<string, string>();
  readonly jobs = new Map<number, Job>();
  descriptors: Descriptors;
  readonly options: ShellOptions;
  /** `$0`. */
  name = 'sh';
  parameters: readonly string[] = [];
  cwd: string;
  lastStatus = 0;
  lastBackgroundPid: number | undefined;
  umask = 0o022;
  loops = 0;
  functionDepth = 0;
  /** Where `getopts` is within a word of several options. */
  optionPlace = { index: 1, place: 1 };
  /** Variables that a function's `local` hides, for each function that runs. */
  locals: Map<string, Variable | undefined>[] = [];

  constructor(process: Pick<Process, 'env' | 'cwd' | 'descriptors'>) {
    this.cwd = process.cwd;
    this.descriptors = process.descriptors;
    this.options = {
      allexport: false,
      errexit: false,
      noclobber: false,
      noexec: false,
      noglob: false,
      nounset: false,
      pipefail: false,
      verbose: false,
      xtrace: false,
    };
    for (const [name, value] of Object.entries(process.env)) {
      this.variables.set(name, { value, isExported: true, isReadOnly: false });
    }
    this.variables.set('IFS', { value: ' \t\n', isExported: false, isReadOnly: false });
    this.variables.set('OPTIND', { value: '1', isExported: false, isReadOnly: false });
    this.variables.set('PWD', { value: process.cwd, isExported: true, isReadOnly: false });
  }

  /** A copy for a subshell, with descriptors of its own that lead to the same files. */
  fork(descriptors: Descriptors = this.retained()): ShellState {
    const copy = new ShellState({ env: {}, cwd: this.cwd, descriptors });
    copy.variables.clear();
    for (const [name, variable] of this.variables) copy.variables.set(name, { ...variable });
    for (const [name, body] of this.functions) copy.functions.set(name, body);
    Object.assign(copy.options, this.options);
    copy.name = this.name;
    copy.parameters = this.parameters;
    copy.lastStatus = this.lastStatus;
    copy.lastBackgroundPid = this.lastBackgroundPid;
    copy.umask = this.umask;
    copy.loops = this.loops;
    copy.functionDepth = this.functionDepth;
    return copy;
  }

  retained(): Descriptors {
    return new Map([...this.descriptors].map(([number, file]) => [number, file.retain()]));
  }

  isTerminal(number: number): boolean {
    const file = this.descriptors.get(number);
    return (file instanceof CommandInput || file instanceof CommandOutput) && file.terminal !== undefined;
  }

  get(name: string): string | undefined {
    return this.variables.get(name)?.value;
  }

  /** Throws a `ShellError` for a read-only variable. */
  set(name: string, value: string): Variable {
    if (value.length > MOST_VARIABLE_BYTES) throw new ShellError(`${name}: too long`);
    const variable = this.declare(name);
    if (variable.isReadOnly) throw new ShellError(`${name}: is read only`);
    variable.value = value;
    if (this.options.allexport) variable.isExported = true;
    return variable;
  }

  /** The variable, made without a value where it is not there. */
  declare(name: string): Variable {
    let variable = this.variables.get(name);
    if (variable === undefined) {
      variable = { value: undefined, isExported: false, isReadOnly: false };
      this.variables.set(name, variable);
    }
    return variable;
  }

  /** Hides a variable until the function that runs returns; false outside of functions. */
  makeLocal(name: string): boolean {
    const scope = this.locals.at(-1);
    if (scope === undefined) return false;
    if (scope.has(name)) return true;
    const hidden = this.variables.get(name);
    scope.set(name, hidden);
    if (hidden !== undefined) this.variables.set(name, { ...hidden });
    return true;
  }

  /** What `local` hid is there again. */
  leaveFunction(): void {
    for (const [name, variable] of this.locals.pop() ?? []) {
      if (variable === undefined) this.variables.delete(name);
      else this.variables.set(name, variable);
    }
  }

  /** What programs get. */
  environment(): Record<string, string> {
    const exported = [...this.variables].flatMap(([name, { value, isExported }]) =>
      isExported && value !== undefined ? [[name, value] as const] : [],
    );
    return Object.fromEntries(exported);
  }
}
