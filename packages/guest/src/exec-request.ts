import { invalidArgument } from '@microvm/runtime';
import type { ExecRequest } from '@microvm/runtime';
import { encodeExec, execTooLong, tooManyStrings } from './messages.js';

const MAX_OUTPUT_BYTES = 0x7fff_ffff;

function checkText(path: string, value: unknown): asserts value is string {
  if (typeof value !== 'string' || value.includes('\0')) throw invalidArgument(path, 'a string without NUL');
}

function checkCount(path: string, value: unknown): void {
  if (value === undefined) return;
  if (!Number.isSafeInteger(value) || Number(value) < 1 || Number(value) > MAX_OUTPUT_BYTES) {
    throw invalidArgument(path, `a whole number from 1 to ${MAX_OUTPUT_BYTES}`);
  }
}

/** Checks a request and makes its message. Throws `MICROVM_INVALID_ARGUMENT`. */
export function encodeExecRequest(request: ExecRequest): Buffer {
  const { argv, env = {}, cwd = '/', input, maxOutputBytes, timeoutMs } = request;
  if (!Array.isArray(argv) || argv.length === 0) throw invalidArgument('argv', 'a program and its arguments');
  argv.forEach((argument, index) => {
    checkText(`argv[${index}]`, argument);
  });
  if (argv[0] === '') throw invalidArgument('argv[0]', 'the name or path of a program');
  for (const [name, value] of Object.entries(env)) {
    checkText(`env.${name}`, value);
    if (name === '' || name.includes('=') || name.includes('\0')) {
      throw invalidArgument('env', 'names without "=" and NUL');
    }
  }
  checkText('cwd', cwd);
  if (!cwd.startsWith('/')) throw invalidArgument('cwd', 'an absolute path');
  if (input !== undefined && typeof input !== 'string' && !(input instanceof Uint8Array)) {
    throw invalidArgument('input', 'a string or bytes');
  }
  checkCount('maxOutputBytes', maxOutputBytes);
  checkCount('timeoutMs', timeoutMs);
  const tooMany = tooManyStrings({ argv, env });
  if (tooMany !== undefined) throw invalidArgument('argv', tooMany);
  const body = encodeExec({ argv, env, cwd });
  const problem = execTooLong(body);
  if (problem !== undefined) throw invalidArgument('argv', problem);
  return body;
}
