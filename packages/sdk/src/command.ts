import { invalidArgument, type Argv } from '@microvm/runtime';
import { parseExecOptions, type ExecOptions } from './options.js';

/** A command as `exec` was asked for it, checked. */
export interface Command {
  /** Undefined: the command of the VM's image. */
  readonly argv: Argv | undefined;
  /** For messages. */
  readonly text: string;
  readonly options: ExecOptions;
}

function isArgv(value: unknown): value is Argv {
  return Array.isArray(value) && value.length > 0 && value.every((word) => typeof word === 'string');
}

/** Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseCommand(command: unknown, options: unknown): Command {
  if (command === undefined)
    return { argv: undefined, text: 'the image’s own command', options: parseExecOptions(options) };
  if (typeof command === 'string' && command !== '') {
    return { argv: ['/bin/sh', '-c', command], text: command, options: parseExecOptions(options) };
  }
  if (!isArgv(command)) throw invalidArgument('command', 'a shell command, or program and arguments');
  return { argv: [...command], text: command.join(' '), options: parseExecOptions(options) };
}
