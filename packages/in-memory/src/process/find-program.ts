import { ScriptedErrno } from '@microvm/guest';
import { PROGRAM_MARK } from '../fs/base-tree.js';
import { absolute, join, type FileSystem } from '../fs/file-system.js';
import { DiskError } from '../fs/inode.js';

/** As libc has it, for an environment without `PATH`. */
const DEFAULT_PATH = '/bin:/usr/bin';

export type FoundProgram =
  /** A program that is built into the guest. */
  | { readonly kind: 'built-in'; readonly name: string; readonly path: string }
  /** A text of the guest's disk, with what runs it and its own path. */
  | { readonly kind: 'script'; readonly interpreter: readonly [string, ...string[]]; readonly path: string };

interface Seeker {
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly files: FileSystem;
}

/** Where a program lies: in the folders of `PATH`, or at its path. Undefined when it is not there. */
export function whereIs(program: string, { env, cwd, files }: Omit<Seeker, 'argv'>): string | undefined {
  if (program.includes('/')) return absolute(cwd, program);
  for (const folder of (env['PATH'] ?? DEFAULT_PATH).split(':')) {
    const path = join(absolute(cwd, folder === '' ? '.' : folder), program);
    const inode = program === '' ? undefined : files.find(path);
    if (inode?.kind === 'file' && files.mayExecute(inode)) return path;
  }
  return undefined;
}

/** Throws a `ScriptedErrno` of the step `exec`, as execve(2) has it. */
export function findProgram(seeker: Seeker): FoundProgram {
  const { argv, files } = seeker;
  const path = whereIs(argv[0], seeker);
  if (path === undefined) throw new ScriptedErrno('ENOENT');
  const text = textOf(files, path);
  if (text.startsWith(PROGRAM_MARK)) {
    return { kind: 'built-in', name: text.slice(PROGRAM_MARK.length).trimEnd(), path };
  }
  const [, interpreter, argument] = /^#![ \t]*(\S+)[ \t]*(.*?)[ \t]*(?:\n|$)/.exec(text) ?? [];
  if (interpreter === undefined) throw new ScriptedErrno('ENOEXEC');
  const rest = argument === undefined || argument === '' ? [] : [argument];
  const own = argv[0].includes('/') ? argv[0] : path;
  return { kind: 'script', interpreter: [interpreter, ...rest, own], path };
}

function textOf(files: FileSystem, path: string): string {
  try {
    const inode = files.stat(path);
    if (inode.kind !== 'file' || !files.mayExecute(inode)) throw new ScriptedErrno('EACCES');
    return inode.read(0, 256).toString('latin1');
  } catch (error) {
    throw error instanceof DiskError ? new ScriptedErrno(error.errno) : error;
  }
}
