import { signalName, signalNumber } from '@microvm/runtime';
import { parse } from 'unbash';
import { absolute } from '../fs/file-system.js';
import { DiskError } from '../fs/inode.js';
import { errnoText } from '../process/errno-text.js';
import { whereIs } from '../process/find-program.js';
import { FunctionReturn, LoopJump, ShellExit } from './shell-error.js';
import type { Shell } from './shell.js';
import { runProgram } from './simple-command.js';
import { VARIABLE_BUILTINS } from './variable-builtins.js';

/** A command that a shell runs itself. */
export type Builtin = (shell: Shell, argv: readonly [string, ...string[]]) => Promise<number>;

async function say(shell: Shell, text: string): Promise<number> {
  await shell.state.descriptors.get(1)?.write(Buffer.from(text), shell.process.signal);
  return 0;
}

async function wrong(shell: Shell, message: string, status = 2): Promise<number> {
  await shell.complain(message);
  return status;
}

const cd: Builtin = async (shell, [, ...args]) => {
  const { state, process } = shell;
  const isPhysical = args[0] === '-P';
  const [first] = args.filter((arg) => arg !== '-P' && arg !== '-L' && arg !== '--');
  const isBack = first === '-';
  const target = isBack ? state.get('OLDPWD') : (first ?? state.get('HOME'));
  if (target === undefined) return wrong(shell, `cd: ${isBack ? 'OLDPWD' : 'HOME'} not set`);
  try {
    const wanted = absolute(state.cwd, target);
    const inode = process.files.stat(wanted);
    if (inode.kind !== 'directory') throw new DiskError('ENOTDIR', wanted);
    if (!process.files.mayExecute(inode)) throw new DiskError('EACCES', wanted);
    const logical = normalize(wanted);
    const isSame = !isPhysical && process.files.find(logical) === inode;
    const path = isSame ? logical : process.files.realpath(wanted);
    state.set('OLDPWD', state.cwd);
    state.cwd = path;
    state.set('PWD', path).isExported = true;
    return isBack ? await say(shell, `${path}\n`) : 0;
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    return wrong(shell, `cd: can't cd to ${target}: ${errnoText(error.errno)}`);
  }
};

/** Without `.`, and without `..` and what stands before it. */
function normalize(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

const jump =
  (kind: 'break' | 'continue'): Builtin =>
  async (shell, [, levels = '1']) => {
    if (shell.state.loops > 0) throw new LoopJump(kind, Math.max(1, Number(levels) || 1));
    return 0;
  };

const exit: Builtin = async ({ state }, [, status]) => {
  throw new ShellExit(status === undefined ? state.lastStatus : Number(status) & 0xff);
};

const returns: Builtin = async ({ state }, [, status]) => {
  throw new FunctionReturn(status === undefined ? state.lastStatus : Number(status) & 0xff);
};

const source: Builtin = async (shell, [, path, ...parameters]) => {
  if (path === undefined) return wrong(shell, '.: file name expected');
  const { process, state } = shell;
  const found = path.includes('/')
    ? absolute(state.cwd, path)
    : (whereIs(path, { env: state.environment(), cwd: state.cwd, files: process.files }) ??
      absolute(state.cwd, path));
  let text: string;
  try {
    text = process.files.readFile(found).toString();
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    await shell.complain(`.: ${path}: ${errnoText(error.errno)}`);
    throw new ShellExit(2);
  }
  const outer = state.parameters;
  if (parameters.length > 0) state.parameters = parameters;
  try {
    return await shell.runText(text);
  } catch (error) {
    if (error instanceof FunctionReturn) return error.exitCode;
    throw error;
  } finally {
    state.parameters = outer;
  }
};

const exec: Builtin = async (shell, [, ...argv]) => {
  const [program, ...args] = argv;
  if (program === undefined) return 0;
  throw new ShellExit(await runProgram(shell, [program, ...args]));
};

/** Words that say what a command is, as `command -v` and `type` do. */
function describeCommand(
  shell: Shell,
  name: string,
): { readonly path: string; readonly text: string } | undefined {
  const { state, process } = shell;
  if (state.functions.has(name)) return { path: name, text: 'is a function' };
  if (Object.hasOwn(BUILTINS, name)) return { path: name, text: 'is a shell builtin' };
  const path = whereIs(name, { env: state.environment(), cwd: state.cwd, files: process.files });
  if (path !== undefined && process.files.find(path) !== undefined) return { path, text: `is ${path}` };
  return process.system.hasScript(name) ? { path: name, text: 'is a program of the test' } : undefined;
}

const command: Builtin = async (shell, [, ...args]) => {
  const isLook = args[0] === '-v' || args[0] === '-V';
  const rest = args.filter((arg, index) => !(index === 0 && /^-[pvV]$/.test(arg)));
  const [name, ...parameters] = rest;
  if (name === undefined) return 0;
  if (!isLook) {
    const builtin = Object.hasOwn(BUILTINS, name) ? BUILTINS[name] : undefined;
    return builtin === undefined
      ? runProgram(shell, [name, ...parameters])
      : builtin(shell, [name, ...parameters]);
  }
  const found = describeCommand(shell, name);
  if (found === undefined) return args[0] === '-V' ? wrong(shell, `${name}: not found`, 127) : 127;
  return say(shell, args[0] === '-V' ? `${name} ${found.text}\n` : `${found.path}\n`);
};

const type: Builtin = async (shell, [, ...names]) => {
  let status = 0;
  for (const name of names) {
    const found = describeCommand(shell, name);
    if (found === undefined) status = 127;
    await say(shell, `${name}${found === undefined ? ': not found' : ` ${found.text}`}\n`);
  }
  return status;
};

const wait: Builtin = async ({ state, process }, [, ...pids]) => {
  if (pids.length === 0) {
    for (const { pid, status } of [...state.jobs.values()]) {
      await status;
      state.jobs.delete(pid);
    }
    return 0;
  }
  let last = 127;
  for (const text of pids) {
    const job = state.jobs.get(Number(text.replace(/^%/, '')));
    last = job === undefined ? 127 : await job.status;
    process.signal.throwIfAborted();
  }
  return last;
};

const jobs: Builtin = async (shell) => {
  const running = [...shell.state.jobs.keys()].filter((pid) => shell.process.system.has(pid));
  for (const pid of running) await say(shell, `[${pid}] Running\n`);
  return 0;
};

const trap: Builtin = async (shell, [, ...args]) => {
  const { traps } = shell.state;
  if (args.length === 0) {
    for (const [key, text] of traps) await say(shell, `trap -- '${text.replaceAll("'", `'\\''`)}' ${key}\n`);
    return 0;
  }
  const isReset = args[0] === '-' || /^\d+$/.test(args[0] ?? '') || args.length === 1;
  const names = args[0] === '-' || !isReset ? args.slice(1) : args;
  for (const name of names) {
    const key = trapName(name);
    if (key === undefined) return wrong(shell, `trap: ${name}: bad trap`, 1);
    if (isReset) traps.delete(key);
    else traps.set(key, args[0] ?? '');
  }
  return 0;
};

function trapName(name: string): string | undefined {
  if (name === '0' || name === 'EXIT') return 'EXIT';
  const full = /^\d+$/.test(name) ? signalName(Number(name)) : `SIG${name.replace(/^SIG/, '').toUpperCase()}`;
  return signalNumber(full) === undefined ? undefined : full.slice(3);
}

const umask: Builtin = async (shell, [, mask]) => {
  const { state } = shell;
  if (mask === undefined) return say(shell, `${state.umask.toString(8).padStart(4, '0')}\n`);
  if (!/^[0-7]{1,4}$/.test(mask)) return wrong(shell, `umask: ${mask}: not octal`);
  state.umask = Number.parseInt(mask, 8);
  return 0;
};

/** The limits that the command was asked to have: they bind nobody in memory. */
const ulimit: Builtin = async (shell, [, ...args]) => {
  const { rlimits } = shell.process.system.command;
  const option = args.filter((arg) => /^-[a-zA-Z]$/.test(arg) && arg !== '-H' && arg !== '-S')[0] ?? '-f';
  if (args.some((arg) => /^\d+$|^unlimited$/.test(arg))) return 0;
  const KIB = 1024;
  const limits: Readonly<Record<string, number | undefined>> = {
    '-t': rlimits?.cpuSeconds,
    '-v': rlimits?.addressSpaceBytes === undefined ? undefined : rlimits.addressSpaceBytes / KIB,
    '-f': rlimits?.fileSizeBytes === undefined ? undefined : rlimits.fileSizeBytes / 512,
    '-n': rlimits?.openFiles ?? 1_024,
    '-u': rlimits?.processes,
  };
  return say(shell, `${limits[option] ?? 'unlimited'}\n`);
};

/** Two sums of no use in memory: no processor time is counted. */
const times: Builtin = async (shell) => say(shell, '0m0.000s 0m0.000s\n0m0.000s 0m0.000s\n');

/** What a shell runs itself; all else are programs. */
export const BUILTINS: Readonly<Record<string, Builtin>> = {
  ':': async () => 0,
  '.': source,
  source,
  break: jump('break'),
  cd,
  command,
  continue: jump('continue'),
  eval: (shell, [, ...args]) => shell.runScript(parse(args.join(' '))),
  exec,
  exit,
  jobs,
  return: returns,
  times,
  trap,
  type,
  ulimit,
  umask,
  wait,
  ...VARIABLE_BUILTINS,
};
