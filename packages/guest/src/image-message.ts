import type { ImageConfig } from '@microvm/runtime';
import { PayloadReader, PayloadWriter } from './payload.js';
import { MAX_EXEC_STRINGS, MAX_MESSAGE, MAX_USER_BYTES, ProtocolError } from './protocol.js';
import { decodeVariables, writeStrings } from './settings-messages.js';
import { stopSignalName, stopSignalNumber } from './signals.js';

// The message by which an agent is told what the image of its VM says of commands.

export function encodeSetImage(image: ImageConfig): Buffer {
  const { env, workingDir, user, entrypoint, cmd, stopSignal } = image;
  const out = new PayloadWriter();
  writeStrings(
    out,
    Object.entries(env).map(([name, value]) => `${name}=${value}`),
  );
  out.text(workingDir).text(user);
  writeStrings(out, entrypoint);
  writeStrings(out, cmd);
  return out.u8(stopSignal === undefined ? 0 : (stopSignalNumber(stopSignal) ?? 0)).done();
}

/** Why an agent cannot be told of this image; undefined when it can. */
export function imageConfigProblem(image: ImageConfig): string | undefined {
  const { env, workingDir, user, entrypoint, cmd, stopSignal } = image;
  const variables = Object.entries(env);
  const strings = [...variables.flat(), workingDir, user, ...entrypoint, ...cmd];
  if (strings.some((text) => text.includes('\0'))) return 'strings without NUL';
  if (variables.some(([name]) => name === '' || name.includes('='))) return 'variables without "="';
  if (workingDir !== '' && !workingDir.startsWith('/')) return 'an absolute working directory';
  if (Buffer.byteLength(user) > MAX_USER_BYTES) return `a user of at most ${MAX_USER_BYTES} bytes`;
  if ([variables, entrypoint, cmd].some(({ length }) => length > MAX_EXEC_STRINGS))
    return `at most ${MAX_EXEC_STRINGS} variables and arguments`;
  if (stopSignal !== undefined && stopSignalNumber(stopSignal) === undefined)
    return 'a stop signal that Linux has';
  return encodeSetImage(image).length > MAX_MESSAGE ? `at most ${MAX_MESSAGE} bytes` : undefined;
}

export function decodeSetImage(payload: Buffer): ImageConfig {
  const input = new PayloadReader(payload);
  const env = decodeVariables(input);
  const workingDir = input.text(MAX_MESSAGE);
  const user = input.text(MAX_USER_BYTES);
  const entrypoint = readStrings(input);
  const cmd = readStrings(input);
  const signal = input.u8();
  input.end();
  if (workingDir !== '' && !workingDir.startsWith('/'))
    throw new ProtocolError('working directory is not absolute');
  if (signal > 64) throw new ProtocolError(`signal ${signal}`);
  const stopSignal = signal === 0 ? {} : { stopSignal: stopSignalName(signal) };
  return { env, workingDir, user, entrypoint, cmd, ...stopSignal };
}

function readStrings(input: PayloadReader): string[] {
  const count = input.u16();
  if (count > MAX_EXEC_STRINGS) throw new ProtocolError(`${count} strings`);
  return Array.from({ length: count }, () => input.text(MAX_MESSAGE));
}
