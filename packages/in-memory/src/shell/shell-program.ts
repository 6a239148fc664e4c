import type { Process } from '../process/process.js';
import type { Program, Programs } from '../programs/registry.js';
import { DiskError } from '../fs/inode.js';
import { errnoText } from '../process/errno-text.js';
import { BUILTINS } from './builtins.js';
import { runLines } from './line-shell.js';
import { ShellState } from './shell-state.js';
import { Shell } from './shell.js';
import { testArguments, TestSyntaxError } from './test-command.js';

/** `sh [-OPTIONS] [-c TEXT | FILE] [ARG]…`; without a text or a file it reads commands line by line. */
const sh: Program = async (process) => {
  const state = new ShellState(process);
  const shell = new Shell(process, state);
  state.name = process.argv[0];
  state.umask = process.umask;
  const args = [...process.args];
  let isText = false;
  let isInput = false;
  let isInteractive = false;
  while (/^[-+]./.test(args[0] ?? '') && args[0] !== '--') {
    const option = args.shift() ?? '';
    const letters = [...option.slice(1)];
    isText ||= letters.includes('c');
    isInput ||= letters.includes('s');
    isInteractive ||= letters.includes('i');
    const others = letters.filter((letter) => !'csil'.includes(letter));
    if (others.length === 0) continue;
    const words = others.includes('o')
      ? [`${option.slice(0, 1)}o`, args.shift() ?? '']
      : [option.slice(0, 1) + others.join('')];
    const status = (await BUILTINS['set']?.(shell, ['set', ...words])) ?? 0;
    if (status !== 0) return status;
  }
  if (args[0] === '--') args.shift();
  return shell.runToEnd(async () => {
    if (isText) return runText(shell, args);
    const path = isInput ? undefined : args.shift();
    state.parameters = args;
    if (path !== undefined) return runFile(shell, process, path);
    return runLines(shell, { isInteractive: isInteractive || process.terminalAt(0) !== undefined });
  });
};

async function runText(shell: Shell, [text, name, ...parameters]: readonly string[]): Promise<number> {
  if (text === undefined) {
    await shell.complain('-c requires an argument');
    return 2;
  }
  if (name !== undefined) shell.state.name = name;
  shell.state.parameters = parameters;
  return shell.runText(text);
}

async function runFile(shell: Shell, process: Process, path: string): Promise<number> {
  let text: string;
  try {
    text = process.files.readFile(process.path(path)).toString();
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    await shell.complain(`can't open '${path}': ${errnoText(error.errno)}`);
    return error.errno === 'ENOENT' ? 127 : 126;
  }
  shell.state.name = path;
  return shell.runText(text);
}

const test: Program = async (process) => {
  const args = [...process.args];
  if (process.name === '[' && args.pop() !== ']') return process.complain('missing ]', 2);
  const { files, cwd } = process;
  const isTerminal = (descriptor: number): boolean => process.terminalAt(descriptor) !== undefined;
  try {
    return testArguments(args, { files, cwd, isTerminal }) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof TestSyntaxError)) throw error;
    return process.complain(error.message, 2);
  }
};

export const SHELL_PROGRAMS: Programs<'shell'> = { '[': test, sh, test };
