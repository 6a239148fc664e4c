import { randomBytes } from 'node:crypto';
import { invalidArgument } from '@microvm/runtime';
import type { PayloadReader } from './payload.js';
import { ProtocolError } from './protocol.js';

/**
 * The id of a command: 64 random bits that the host chooses, as 16 hex digits. So a host that lost its
 * channel before the guest could answer knows by which id to ask whether the command was started, and an id
 * of before a reboot of the guest names nothing after it.
 */
export function newCommandId(): string {
  return randomBytes(8).toString('hex');
}

/** Throws `MICROVM_INVALID_ARGUMENT`. */
export function checkCommandId(id: unknown): string {
  if (typeof id !== 'string' || !/^[0-9a-f]{16}$/.test(id) || idNumber(id) === 0n) {
    throw invalidArgument('id', 'the id of a command: 16 hex digits');
  }
  return id;
}

export function idNumber(id: string): bigint {
  return BigInt(`0x${id}`);
}

export function readId(input: PayloadReader): string {
  const number = input.u64();
  if (number === 0n) throw new ProtocolError('no id of a command');
  return number.toString(16).padStart(16, '0');
}
