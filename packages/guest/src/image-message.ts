import { stopSignalName, stopSignalNumber, type ImageConfig } from '@microvm/runtime';
import { PayloadReader, PayloadWriter } from './payload.js';
import { MAX_EXEC_STRINGS, MAX_MESSAGE, MAX_USER_BYTES, ProtocolError } from './protocol.js';
import { decodeVariables, writeStrings } from './settings-messages.js';

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
