import { constants } from 'node:fs';
import { invalidArgument } from '@microvm/runtime';
import type { FileCallOptions, FileTime, GuestPath } from '@microvm/runtime';
import { parseUser } from '../exec-request.js';
import { MAX_FILE_PATH_BYTES } from './file-protocol.js';
import { nameTooLong } from './file-error.js';
import type { CallPaths } from './file-error.js';

const MAX_MODE = 0o7777;
const MAX_ID = 0xffff_ffff;
const NS_PER_MS = 1_000_000n;
const MS_PER_SECOND = 1_000;
const US_PER_SECOND = 1_000_000;
/** A time of the guest is a count of nanoseconds in 64 bits. */
const MAX_SECONDS = 9_000_000_000;

const { O_RDONLY, O_RDWR, O_WRONLY, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_SYNC } = constants;
const WRITES = O_TRUNC | O_CREAT;
const ADDS = O_APPEND | O_CREAT;

/** As Node's `stringToFlags`. */
const FLAGS: Readonly<Record<string, number>> = {
  r: O_RDONLY,
  rs: O_RDONLY | O_SYNC,
  sr: O_RDONLY | O_SYNC,
  'r+': O_RDWR,
  'rs+': O_RDWR | O_SYNC,
  'sr+': O_RDWR | O_SYNC,
  w: WRITES | O_WRONLY,
  wx: WRITES | O_WRONLY | O_EXCL,
  xw: WRITES | O_WRONLY | O_EXCL,
  'w+': WRITES | O_RDWR,
  'wx+': WRITES | O_RDWR | O_EXCL,
  'xw+': WRITES | O_RDWR | O_EXCL,
  a: ADDS | O_WRONLY,
  ax: ADDS | O_WRONLY | O_EXCL,
  xa: ADDS | O_WRONLY | O_EXCL,
  as: ADDS | O_WRONLY | O_SYNC,
  sa: ADDS | O_WRONLY | O_SYNC,
  'a+': ADDS | O_RDWR,
  'ax+': ADDS | O_RDWR | O_EXCL,
  'xa+': ADDS | O_RDWR | O_EXCL,
  'as+': ADDS | O_RDWR | O_SYNC,
  'sa+': ADDS | O_RDWR | O_SYNC,
};
const KNOWN_FLAGS =
  constants.O_WRONLY |
  O_RDWR |
  WRITES |
  ADDS |
  O_EXCL |
  O_SYNC |
  constants.O_DSYNC |
  constants.O_NONBLOCK |
  constants.O_DIRECTORY |
  constants.O_NOFOLLOW;

/** A path as the wire has it, and as errors name it. */
export interface CheckedPath {
  readonly bytes: Buffer;
  readonly text: string;
}

function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array;
}

/** Throws `MICROVM_INVALID_ARGUMENT`. `isAnywhere`: it may be relative, as the target of a link. */
export function checkPath(name: string, path: GuestPath, isAnywhere = false): CheckedPath {
  if (typeof path !== 'string' && !isBytes(path)) throw invalidArgument(name, 'a string or bytes');
  const bytes = Buffer.from(path);
  if (bytes.length === 0 || bytes.includes(0)) throw invalidArgument(name, 'a path without NUL');
  if (!isAnywhere && bytes[0] !== 0x2f) throw invalidArgument(name, 'an absolute path of the guest');
  return { bytes, text: typeof path === 'string' ? path : bytes.toString('utf8') };
}

/** Throws the ENAMETOOLONG that the guest would answer. */
export function checkLengths(syscall: string, paths: readonly CheckedPath[]): CallPaths {
  const [path, dest] = paths.map(({ text }) => text);
  const named = {
    ...(path === undefined ? {} : { path }),
    ...(dest === undefined ? {} : { dest }),
  };
  if (paths.some(({ bytes }) => bytes.length > MAX_FILE_PATH_BYTES)) throw nameTooLong(syscall, named);
  return named;
}

export function checkFlags(name: string, flags: string | number): number {
  const value = typeof flags === 'string' ? FLAGS[flags] : flags;
  const isKnown = Number.isInteger(value) && ((value ?? 0) & ~KNOWN_FLAGS) === 0;
  if (value === undefined || !isKnown || (value & 3) === 3)
    throw invalidArgument(name, 'flags of open, such as "r+"');
  return value;
}

function checkWhole(name: string, value: unknown, most: number, least = 0): number {
  if (!Number.isSafeInteger(value) || Number(value) < least || Number(value) > most)
    throw invalidArgument(name, `a whole number from ${least} to ${most}`);
  return Number(value);
}

export function checkMode(mode: unknown, most = MAX_MODE): number {
  return checkWhole('mode', mode, most);
}

/** -1 leaves it as it is. */
export function checkId(name: string, id: unknown): number {
  return id === -1 ? MAX_ID : checkWhole(name, id, MAX_ID);
}

export function checkSize(name: string, size: unknown, least = 0): number {
  return checkWhole(name, size, Number.MAX_SAFE_INTEGER, least);
}

/** Nanoseconds since 1970. Numbers are exact to a microsecond. */
export function checkTime(name: string, time: FileTime): bigint {
  if (time instanceof Date) {
    const ms = time.getTime();
    if (Math.abs(ms) <= MAX_SECONDS * MS_PER_SECOND) return BigInt(ms) * NS_PER_MS;
  } else {
    const seconds = typeof time === 'string' && time.trim() !== '' ? Number(time) : time;
    if (typeof seconds === 'number' && Math.abs(seconds) <= MAX_SECONDS)
      return BigInt(Math.round(seconds * US_PER_SECOND)) * 1_000n;
  }
  throw invalidArgument(name, 'seconds since 1970 or a date');
}

/** What every call takes, checked. */
export interface CheckedOptions {
  readonly user: string;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
}

/** Throws `MICROVM_INVALID_ARGUMENT`. */
export function checkOptions(options: FileCallOptions = {}): CheckedOptions {
  const { user, signal, timeoutMs } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw invalidArgument('signal', 'an AbortSignal');
  if (timeoutMs !== undefined) checkWhole('timeoutMs', timeoutMs, 0x7fff_ffff, 1);
  return { user: parseUser(user), signal, timeoutMs };
}

export function checkEncoding(encoding: unknown): BufferEncoding {
  if (typeof encoding !== 'string' || !Buffer.isEncoding(encoding))
    throw invalidArgument('encoding', 'an encoding of Node');
  return encoding;
}
