import type { Redirection } from 'unbash';
import { absolute, type FileSystem } from '../fs/file-system.js';
import { DiskError } from '../fs/inode.js';
import { badDescriptor, type OpenFile } from '../process/open-file.js';
import type { Descriptors } from '../process/process.js';
import { fileOf, openFile, type Mode } from '../process/regular-file.js';
import { errnoText } from '../process/errno-text.js';
import type { Expander } from './expand.js';
import { ShellError } from './shell-error.js';
import type { ShellState } from './shell-state.js';

const MOST_DESCRIPTORS = 1_024;

/** A redirection that could not be made: the command does not run, and its shell goes on. */
export class RedirectError extends Error {}

interface Redirecting {
  readonly expander: Expander;
  readonly state: ShellState;
  readonly files: FileSystem;
}

/** Changes descriptors as the redirections say, in their order. On an error some may have been made. */
export async function redirect(
  descriptors: Descriptors,
  redirections: readonly Redirection[],
  shell: Redirecting,
): Promise<void> {
  for (const redirection of redirections) await redirectOne(descriptors, redirection, shell);
}

function put(descriptors: Descriptors, number: number, file: OpenFile | undefined): void {
  if (number >= MOST_DESCRIPTORS) {
    file?.release();
    throw new RedirectError(`${number}: ${errnoText('EBADF')}`);
  }
  descriptors.get(number)?.release();
  if (file === undefined) descriptors.delete(number);
  else descriptors.set(number, file);
}

async function redirectOne(
  descriptors: Descriptors,
  redirection: Redirection,
  shell: Redirecting,
): Promise<void> {
  const { expander } = shell;
  const { descriptor } = redirection;
  if (descriptor?.type === 'FileDescriptorVariable') throw new ShellError(`{${descriptor.name}}: not in sh`);
  const number = descriptor?.value;
  if (redirection.type === 'HereDoc') {
    const { parts, text } = redirection.body;
    const body = parts === undefined ? text : await expander.quoted(parts);
    const lines = redirection.operator === '<<-' && parts === undefined ? body.replace(/^\t+/gm, '') : body;
    put(descriptors, number ?? 0, fileOf(Buffer.from(lines)));
    return;
  }
  const target = await expander.single(redirection.target);
  if (redirection.type === 'HereString') {
    put(descriptors, number ?? 0, fileOf(Buffer.from(`${target}\n`)));
    return;
  }
  const { operator } = redirection;
  if (operator === '<&' || (operator === '>&' && /^(\d+|-)$/.test(target))) {
    duplicate(descriptors, number ?? (operator === '<&' ? 0 : 1), target);
    return;
  }
  const both = operator === '&>' || operator === '&>>' || operator === '>&';
  const mode: Mode = operator === '&>>' || operator === '>>' ? '>>' : toMode(operator);
  const file = open(target, mode, shell, operator === '>|');
  put(descriptors, number ?? (mode.startsWith('<') ? 0 : 1), file);
  if (both) put(descriptors, 2, file.retain());
}

function toMode(operator: string): Mode {
  return operator === '<' || operator === '<>' ? operator : '>';
}

function duplicate(descriptors: Descriptors, number: number, target: string): void {
  if (target === '-') {
    put(descriptors, number, undefined);
    return;
  }
  const from = descriptors.get(Number(target));
  if (from === undefined || !/^\d+$/.test(target))
    throw new RedirectError(`${target}: ${errnoText('EBADF')}`);
  put(descriptors, number, from.retain());
}

/** Throws a `RedirectError`. */
function open(target: string, mode: Mode, { state, files }: Redirecting, isForced: boolean): OpenFile {
  const path = absolute(state.cwd, target);
  try {
    const own = ownDescriptor(path, state.descriptors);
    if (own !== undefined) return own.retain();
    const isKept = mode === '>' && state.options.noclobber && !isForced && files.find(path)?.kind === 'file';
    if (isKept) throw new DiskError('EEXIST', path);
    return openFile(files.as(files.user, state.umask), path, mode);
  } catch (error) {
    if (error instanceof DiskError) throw new RedirectError(`${target}: ${errnoText(error.errno)}`);
    throw error;
  }
}

/** `/dev/stdin`, `/dev/fd/3` and their like are what the shell has there. */
function ownDescriptor(path: string, descriptors: Descriptors): OpenFile | undefined {
  const names: Readonly<Record<string, number>> = { stdin: 0, stdout: 1, stderr: 2, tty: 0 };
  const [, name] = /^\/dev\/(stdin|stdout|stderr|tty)$/.exec(path) ?? [];
  const [, digits] = /^\/dev\/fd\/(\d+)$/.exec(path) ?? [];
  if (name === undefined && digits === undefined) return undefined;
  const file = descriptors.get(name === undefined ? Number(digits) : (names[name] ?? 0));
  if (file === undefined) throw badDescriptor();
  return file;
}
