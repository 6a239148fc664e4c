import { ScriptedErrno } from '@microvm/guest';
import type { Command, Word } from 'unbash';
import { DiskError } from '../fs/inode.js';
import { errnoText } from '../process/errno-text.js';
import { statusOf } from '../process/status.js';
import { BUILTINS, type Builtin } from './builtins.js';
import { redirect } from './redirect.js';
import { FunctionReturn, ShellError } from './shell-error.js';
import type { ShellState } from './shell-state.js';
import type { Shell } from './shell.js';

/** As deep as functions may call each other. */
const MOST_FUNCTION_DEPTH = 200;
/** Programs that every shell also has in itself. */
const OWN_PROGRAMS = new Set(['echo', 'printf', 'pwd', 'test', '[', 'true', 'false', 'kill']);
/** Builtins whose assignments stay, and that no function hides. */
const SPECIAL = new Set([
  ':',
  '.',
  'break',
  'continue',
  'eval',
  'exec',
  'exit',
  'export',
  'readonly',
  'return',
]);

/** Runs a command that is no list: assignments, a function, a builtin or a program. */
export async function runSimple(shell: Shell, node: Command): Promise<number> {
  const { name, prefix } = node;
  shell.captured = undefined;
  const assigned = prefix.filter((item) => item.type === 'Assignment');
  const argv = name === undefined ? [] : await argumentsOf(shell, name, node.args);
  const assignments: [name: string, value: string][] = [];
  for (const item of assigned) {
    const { value, append } = item;
    if (value.type === 'ArrayValue' || item.index !== undefined) throw new ShellError('arrays are not in sh');
    const text = await shell.expander.single(value);
    assignments.push([item.name, append === true ? (shell.state.get(item.name) ?? '') + text : text]);
  }
  await trace(shell, [...assignments.map(([key, value]) => `${key}=${value}`), ...argv]);
  const [first, ...args] = argv;
  if (first === undefined) {
    for (const [key, value] of assignments) shell.state.set(key, value);
    return redirected(shell, node.redirects, async () => shell.captured ?? 0);
  }
  return invoke(shell, { argv: [first, ...args], assignments, node });
}

/** Words, and assignments that are arguments, as in `export A=$B`: their values are not split. */
async function argumentsOf(shell: Shell, name: Word, args: Command['args']): Promise<string[]> {
  const argv = await shell.expander.words([name]);
  for (const item of args) {
    if (item.type === 'Word') {
      argv.push(...(await shell.expander.words([item])));
      continue;
    }
    if (item.value.type === 'ArrayValue') throw new ShellError('arrays are not in sh');
    argv.push(`${item.name}${item.append === true ? '+=' : '='}${await shell.expander.single(item.value)}`);
  }
  return argv;
}

async function invoke(
  shell: Shell,
  call: {
    readonly argv: readonly [string, ...string[]];
    readonly assignments: readonly (readonly [string, string])[];
    readonly node: Command;
  },
): Promise<number> {
  const { argv, assignments, node } = call;
  const [name] = argv;
  const builtin = Object.hasOwn(BUILTINS, name) ? BUILTINS[name] : undefined;
  const body = shell.state.functions.get(name);
  if (SPECIAL.has(name) && builtin !== undefined) {
    for (const [key, value] of assignments) shell.state.set(key, value);
    return special(shell, node, () => builtin(shell, argv));
  }
  if (body === undefined && builtin === undefined) {
    return redirected(shell, node.redirects, () => runProgram(shell, argv, assignments));
  }
  const restore = assignFor(shell, assignments);
  try {
    const act =
      body === undefined
        ? () => (builtin as Builtin)(shell, argv)
        : () => callFunction(shell, body.body, argv);
    return await redirected(shell, node.redirects, act);
  } finally {
    restore();
  }
}

/** A program of the guest, with variables of its own. 127: there is none; 126: it does not start. */
export async function runProgram(
  shell: Shell,
  argv: readonly [string, ...string[]],
  assignments: readonly (readonly [string, string])[] = [],
): Promise<number> {
  const { system, account, signal } = shell.process;
  const env = { ...shell.state.environment(), ...Object.fromEntries(assignments) };
  const parts = {
    argv,
    env,
    cwd: shell.state.cwd,
    account,
    descriptors: shell.state.retained(),
    umask: shell.state.umask,
  };
  try {
    const end = await system.run(parts, signal);
    // In a shell these are its own: a broken pipe ends the shell with them, or a loop would never end.
    const isOwn = typeof end !== 'number' && end.signal === 'SIGPIPE' && OWN_PROGRAMS.has(argv[0]);
    if (isOwn) throw new DiskError('EPIPE', 'nobody reads the pipe');
    return statusOf(end);
  } catch (error) {
    if (!(error instanceof ScriptedErrno) || error.step !== 'exec') throw error;
    if (error.errno === 'ENOEXEC') return runProgram(shell, ['sh', argv[0], ...argv.slice(1)], assignments);
    const isMissing = error.errno === 'ENOENT';
    const text = isMissing && !argv[0].includes('/') ? 'not found' : errnoText(error.errno);
    await shell.complain(`${argv[0]}: ${text}`);
    return isMissing ? 127 : 126;
  }
}

/** `exec` keeps its redirections, all others end with their command. */
async function special(shell: Shell, node: Command, act: () => Promise<number>): Promise<number> {
  if (node.name?.value !== 'exec') return redirected(shell, node.redirects, act);
  await redirect(shell.state.descriptors, node.redirects, redirecting(shell));
  return act();
}

export async function redirected(
  shell: Shell,
  redirects: Command['redirects'],
  act: () => Promise<number>,
): Promise<number> {
  if (redirects.length === 0) return act();
  const { state } = shell;
  const outer = state.descriptors;
  const own = state.retained();
  try {
    await redirect(own, redirects, redirecting(shell));
    state.descriptors = own;
    return await act();
  } finally {
    state.descriptors = outer;
    for (const file of own.values()) file.release();
  }
}

function redirecting(shell: Shell) {
  return { expander: shell.expander, state: shell.state, files: shell.process.files };
}

/** Variables of one command; what it answers gives back what was there before. */
function assignFor(shell: Shell, assignments: readonly (readonly [string, string])[]): () => void {
  const before = assignments.map(([name]) => [name, shell.state.variables.get(name)] as const);
  for (const [name, variable] of before) {
    if (variable !== undefined) shell.state.variables.set(name, { ...variable });
  }
  for (const [name, value] of assignments) shell.state.set(name, value).isExported = true;
  return () => {
    for (const [name, variable] of before) {
      if (variable === undefined) shell.state.variables.delete(name);
      else shell.state.variables.set(name, variable);
    }
  };
}

async function callFunction(
  shell: Shell,
  body: NonNullable<ReturnType<ShellState['functions']['get']>>['body'],
  [, ...parameters]: readonly [string, ...string[]],
): Promise<number> {
  const { state } = shell;
  if (state.functionDepth >= MOST_FUNCTION_DEPTH) throw new ShellError('functions are nested too deeply');
  const { parameters: outer, loops } = state;
  state.parameters = parameters;
  state.functionDepth += 1;
  state.loops = 0;
  state.locals.push(new Map());
  try {
    return body.type === 'CompoundList' ? await shell.runList(body.commands) : await shell.run(body);
  } catch (error) {
    if (error instanceof FunctionReturn) return error.exitCode;
    throw error;
  } finally {
    state.leaveFunction();
    state.functionDepth -= 1;
    state.loops = loops;
    state.parameters = outer;
  }
}

async function trace(shell: Shell, words: readonly string[]): Promise<void> {
  if (!shell.state.options.xtrace) return;
  const text = `+ ${words.join(' ')}\n`;
  await shell.state.descriptors.get(2)?.write(Buffer.from(text), shell.process.signal);
}
