import type { Environment } from '@microvm/runtime';
import { PayloadReader, PayloadWriter } from './payload.js';
import { MAX_EXEC_STRINGS, MAX_MESSAGE, ProtocolError } from './protocol.js';

// The messages by which an agent is told what it gives to commands.

export function encodeSetEnv(env: Environment): Buffer {
  const entries = Object.entries(env);
  const out = new PayloadWriter().u16(entries.length);
  for (const [name, value] of entries) out.text(`${name}=${value}`);
  return out.done();
}

export function decodeSetEnv(payload: Buffer): Environment {
  const input = new PayloadReader(payload);
  const count = input.u16();
  if (count > MAX_EXEC_STRINGS) throw new ProtocolError(`${count} variables`);
  const entries = Array.from({ length: count }, () => {
    const entry = input.text(MAX_MESSAGE);
    const equals = entry.indexOf('=');
    if (equals < 1) throw new ProtocolError('bad environment entry');
    return [entry.slice(0, equals), entry.slice(equals + 1)] as const;
  });
  input.end();
  // Not by assignment: a variable may be named `__proto__`.
  return Object.fromEntries(entries);
}
