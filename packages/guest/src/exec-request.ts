import { invalidArgument, MAX_SECRETS } from '@microvm/runtime';
import type { ExecLimits, ExecRequest, PtyOptions, PtySize } from '@microvm/runtime';
import { encodeExec, execTooLong, tooManyStrings } from './messages.js';
import type { EncodedExec, ExecMessage } from './messages.js';
import { isSecretName } from './settings-messages.js';
import { MAX_TERM_BYTES, MAX_USER_BYTES, RLIMITS } from './protocol.js';

const MAX_OUTPUT_BYTES = 0x7fff_ffff;
const MAX_COLUMNS = 0xffff;
/** -1 means "leave it" to the kernel. */
const MAX_ID = 0xffff_fffe;

function checkText(path: string, value: unknown): asserts value is string {
  if (typeof value !== 'string' || value.includes('\0')) throw invalidArgument(path, 'a string without NUL');
}

export function checkCount(path: string, value: unknown, most: number = MAX_OUTPUT_BYTES): void {
  if (value === undefined) return;
  if (!Number.isSafeInteger(value) || Number(value) < 1 || Number(value) > most) {
    throw invalidArgument(path, `a whole number from 1 to ${most}`);
  }
}

/** Empty: whoever the agent is. Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseUser(user: unknown): string {
  if (user === undefined) return '';
  const isNumber = typeof user === 'number' && Number.isInteger(user) && user >= 0 && user <= MAX_ID;
  const isText = typeof user === 'string' && /^[^:\0\n]+(:[^:\0\n]+)?$/.test(user);
  if ((!isNumber && !isText) || Buffer.byteLength(String(user)) > MAX_USER_BYTES) {
    const expected = `a name, a number or "user:group", at most ${MAX_USER_BYTES} bytes`;
    throw invalidArgument('user', expected);
  }
  return String(user);
}

function parseLimits(rlimits: unknown): ExecLimits {
  if (rlimits === undefined) return {};
  if (typeof rlimits !== 'object' || rlimits === null)
    throw invalidArgument('rlimits', `an object of ${RLIMITS.join(', ')}`);
  for (const name of Object.keys(rlimits)) {
    if (!RLIMITS.some((known) => known === name))
      throw invalidArgument(`rlimits.${name}`, `one of ${RLIMITS.join(', ')}`);
  }
  // SAFETY: it has no other keys, and their values are checked below.
  const limits = { ...rlimits } as ExecLimits;
  for (const name of RLIMITS) checkCount(`rlimits.${name}`, limits[name], Number.MAX_SAFE_INTEGER);
  return limits;
}

/** Throws `MICROVM_INVALID_ARGUMENT` with paths below `path`. */
export function checkSize(size: unknown, path: string): PtySize {
  if (typeof size !== 'object' || size === null) throw invalidArgument(path, 'an object with cols and rows');
  const { cols, rows } = size as Partial<PtySize>;
  for (const [name, value] of Object.entries({ cols, rows })) {
    if (value === undefined)
      throw invalidArgument(`${path}.${name}`, `a whole number from 1 to ${MAX_COLUMNS}`);
    checkCount(`${path}.${name}`, value, MAX_COLUMNS);
  }
  return { cols: Number(cols), rows: Number(rows) };
}

function parsePty(pty: unknown): ExecMessage['pty'] {
  if (pty === undefined) return undefined;
  const size = checkSize(pty, 'pty');
  const { term = '' } = pty as PtyOptions;
  checkText('pty.term', term);
  if (Buffer.byteLength(term) > MAX_TERM_BYTES)
    throw invalidArgument('pty.term', `at most ${MAX_TERM_BYTES} bytes`);
  return { ...size, term };
}

function parseSecrets(secrets: unknown, env: Readonly<Record<string, string>>): ExecMessage['secrets'] {
  if (secrets === undefined) return {};
  if (typeof secrets !== 'object' || secrets === null)
    throw invalidArgument('secrets', 'an object of variables, each with the name of a secret');
  for (const [variable, name] of Object.entries(secrets)) {
    const path = `secrets.${variable}`;
    checkText(path, name);
    if (!isSecretName(name)) throw invalidArgument(path, 'the name of a secret');
    if (variable === '' || /[=\0]/.test(variable))
      throw invalidArgument('secrets', 'variables without "=" and NUL');
    if (Object.hasOwn(env, variable)) throw invalidArgument(path, 'a variable that `env` does not have');
  }
  if (Object.keys(secrets).length > MAX_SECRETS) throw invalidArgument('secrets', `at most ${MAX_SECRETS}`);
  // SAFETY: each value was checked above.
  return { ...secrets };
}

/** Checks a request. Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseExecRequest(request: ExecRequest): Omit<ExecMessage, 'id' | 'isDetached'> {
  const { argv = [], env = {}, cwd, input, maxOutputBytes, timeoutMs } = request;
  if (!Array.isArray(argv) || (request.argv !== undefined && argv.length === 0))
    throw invalidArgument('argv', 'a program and its arguments');
  argv.forEach((argument, index) => {
    checkText(`argv[${index}]`, argument);
  });
  if (request.argv?.[0] === '') throw invalidArgument('argv[0]', 'the name or path of a program');
  for (const [name, value] of Object.entries(env)) {
    checkText(`env.${name}`, value);
    if (name === '' || name.includes('=') || name.includes('\0')) {
      throw invalidArgument('env', 'names without "=" and NUL');
    }
  }
  if (cwd !== undefined) checkText('cwd', cwd);
  if (cwd?.startsWith('/') === false) throw invalidArgument('cwd', 'an absolute path');
  if (input !== undefined && typeof input !== 'string' && !(input instanceof Uint8Array)) {
    throw invalidArgument('input', 'a string or bytes');
  }
  checkCount('maxOutputBytes', maxOutputBytes);
  checkCount('timeoutMs', timeoutMs);
  const tooMany = tooManyStrings({ argv, env });
  if (tooMany !== undefined) throw invalidArgument('argv', tooMany);
  const user = parseUser(request.user);
  return {
    ...{ argv, env, cwd: cwd ?? '', user },
    rlimits: parseLimits(request.rlimits),
    pty: parsePty(request.pty),
    secrets: parseSecrets(request.secrets, env),
  };
}

/**
 * Makes the message of a request. `environmentBytes`: what the VM's own environment takes, which the command
 * gets too. Throws `MICROVM_INVALID_ARGUMENT`.
 */
export function encodeExecRequest(message: ExecMessage, environmentBytes = 0): EncodedExec {
  const encoded = encodeExec(message);
  const problem = execTooLong(encoded.body.length + environmentBytes);
  if (problem !== undefined) throw invalidArgument('argv', problem);
  return encoded;
}
