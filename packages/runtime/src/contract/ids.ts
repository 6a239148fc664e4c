import { invalidArgument } from './errors.js';

const ID = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/;
const ID_RULE = '1 to 64 of [A-Za-z0-9._-], not starting with "." or "-"';

function parseId(path: string, value: unknown): string {
  if (typeof value !== 'string' || !ID.test(value)) throw invalidArgument(path, ID_RULE);
  return value;
}

/**
 * Checks the caller's name for a VM; it is kept as it is, never altered. Throws `MICROVM_INVALID_ARGUMENT`.
 */
export function parseVmId(value: unknown, path = 'vmId'): string {
  return parseId(path, value);
}

/** Checks the caller's name for a snapshot. Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseSnapshotId(value: unknown, path = 'snapshotId'): string {
  return parseId(path, value);
}

const UID = /^[0-9a-f]{32}$/;

/** Checks a VM's immutable id, 32 lower-case hex digits. Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseInstanceId(value: unknown, path = 'instanceId'): string {
  return parseUid(value, path);
}

/** Checks a snapshot's own immutable id, 32 lower-case hex digits. Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseSnapshotUid(value: unknown, path = 'snapshotUid'): string {
  return parseUid(value, path);
}

function parseUid(value: unknown, path: string): string {
  if (typeof value !== 'string' || !UID.test(value)) throw invalidArgument(path, '32 lower-case hex digits');
  return value;
}
