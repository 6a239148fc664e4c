import { getSystemErrorMap } from 'node:util';
import { printable } from '@microvm/runtime';
import type { FileFailedMessage } from './file-message.js';

/** The paths that a call was about, as its error names them. */
export interface CallPaths {
  readonly path?: string;
  readonly dest?: string;
}

const EISDIR = 21;

/** An error of the shape of Node's own. `errno` is the guest's, which is Linux whatever the host is. */
export function fileError(failure: FileFailedMessage, paths: CallPaths = {}): NodeJS.ErrnoException {
  const [code, words] = getSystemErrorMap().get(-failure.errno) ?? [
    `UNKNOWN_${failure.errno}`,
    'unknown error',
  ];
  const { syscall } = failure;
  const found = failure.path.length > 0 ? { path: failure.path.toString('utf8') } : paths;
  if (syscall === 'rm' && failure.errno === EISDIR) return isFolder(found.path ?? '');
  const message = `${code}: ${words}, ${syscall}${describe(found)}`;
  return Object.assign(new Error(message), { errno: -failure.errno, code, syscall, ...found });
}

/** A path may be the guest's own word, so it is escaped in the text; the fields have it as it is. */
function describe({ path, dest }: CallPaths): string {
  const first = path === undefined ? '' : ` '${printable(path)}'`;
  return dest === undefined ? first : `${first} -> '${printable(dest)}'`;
}

/** Node has a code of its own for this. */
function isFolder(path: string): NodeJS.ErrnoException {
  const message = `Path is a directory: rm returned EISDIR (is a directory) ${printable(path)}`;
  const error = new Error(message);
  error.name = 'SystemError';
  return Object.assign(error, { errno: EISDIR, code: 'ERR_FS_EISDIR', syscall: 'rm', path });
}

/** The error of a path that no guest takes. */
export function nameTooLong(syscall: string, paths: CallPaths): NodeJS.ErrnoException {
  return fileError({ errno: 36, syscall, path: Buffer.alloc(0) }, paths);
}

/** The error of a call on what is closed. */
export function badDescriptor(syscall: string): NodeJS.ErrnoException {
  return fileError({ errno: 9, syscall, path: Buffer.alloc(0) });
}
