import { MAX_SECRET_BYTES, MAX_SECRETS } from '@microvm/runtime';
import type { Environment, GuestSecret, GuestSecrets } from '@microvm/runtime';
import { PayloadReader, PayloadWriter } from './payload.js';
import {
  MAX_EXEC_STRINGS,
  MAX_MESSAGE,
  MAX_SECRET_NAME_BYTES,
  MAX_USER_BYTES,
  ProtocolError,
} from './protocol.js';

// The messages by which an agent is told what it gives to commands.

export function encodeSetEnv(env: Environment): Buffer {
  const out = new PayloadWriter();
  writeStrings(
    out,
    Object.entries(env).map(([name, value]) => `${name}=${value}`),
  );
  return out.done();
}

export function writeStrings(out: PayloadWriter, strings: readonly string[]): void {
  out.u16(strings.length);
  for (const text of strings) out.text(text);
}

export function decodeSetEnv(payload: Buffer): Environment {
  const input = new PayloadReader(payload);
  const env = decodeVariables(input);
  input.end();
  return env;
}

export function decodeVariables(input: PayloadReader): Environment {
  const count = input.u16();
  if (count > MAX_EXEC_STRINGS) throw new ProtocolError(`${count} variables`);
  const entries = Array.from({ length: count }, () => {
    const entry = input.text(MAX_MESSAGE);
    const equals = entry.indexOf('=');
    if (equals < 1) throw new ProtocolError('bad environment entry');
    return [entry.slice(0, equals), entry.slice(equals + 1)] as const;
  });
  // Not by assignment: a variable may be named `__proto__`.
  return Object.fromEntries(entries);
}

export function encodeSecrets({ keep, give }: GuestSecrets): Buffer {
  const out = new PayloadWriter().u16(keep.length);
  for (const name of keep) out.text(name);
  out.u16(give.size);
  for (const [name, { owner, bytes }] of give) out.text(name).text(owner).u32(bytes.length).raw(bytes);
  return out.done();
}

export function decodeSecrets(payload: Buffer): GuestSecrets {
  const input = new PayloadReader(payload);
  const count = (): number => {
    const value = input.u16();
    if (value > MAX_SECRETS) throw new ProtocolError(`${value} secrets`);
    return value;
  };
  const keep = Array.from({ length: count() }, () => readSecretName(input));
  const give = Array.from({ length: count() }, (): readonly [string, GuestSecret] => {
    const name = readSecretName(input);
    const owner = input.text(MAX_USER_BYTES);
    return [name, { owner, bytes: Buffer.from(input.blob(MAX_SECRET_BYTES)) }];
  });
  input.end();
  if (new Set([...keep, ...give.map(([name]) => name)]).size !== keep.length + give.length)
    throw new ProtocolError('a secret twice');
  return { keep, give: new Map(give) };
}

/** Variables of a command, each with the name of the secret whose value it has. */
export function writeSecretVariables(out: PayloadWriter, secrets: Readonly<Record<string, string>>): void {
  const entries = Object.entries(secrets);
  out.u16(entries.length);
  for (const [variable, name] of entries) out.text(variable).text(name);
}

export function readSecretVariables(input: PayloadReader): Readonly<Record<string, string>> {
  const count = input.u16();
  if (count > MAX_SECRETS) throw new ProtocolError(`${count} variables of secrets`);
  const entries = Array.from({ length: count }, () => {
    const variable = input.text(MAX_MESSAGE);
    if (variable === '' || variable.includes('=')) throw new ProtocolError('bad variable of a secret');
    return [variable, readSecretName(input)] as const;
  });
  return Object.fromEntries(entries);
}

function readSecretName(input: PayloadReader): string {
  const name = input.text(MAX_SECRET_NAME_BYTES);
  if (!isSecretName(name)) throw new ProtocolError('bad name of a secret');
  return name;
}

/** A plain file name. */
export function isSecretName(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/.test(name);
}
