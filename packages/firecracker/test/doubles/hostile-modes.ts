import type { FaultRule } from '@microvm/fake-firecracker';
import { MIB } from '@microvm/runtime';

// The longest file that ext4 has is 16 TiB.
const LONG_BYTES = 2 ** 43;
const FLOOD_BYTES = 32 * MIB;
/** As much as an answer may have. */
const LONGEST_RANT_BYTES = 60 * 1024;

/** What a VMM does that somebody has taken over, at the request of a verb and at every one like it. */
export interface HostileMode extends Omit<FaultRule, 'on' | 'skip' | 'times'> {
  /** The only verb that has to do with its file. */
  readonly only?: string;
  /** Nothing comes of it until the caller gives up. */
  readonly stalls?: true;
}

const ANSWERS: Readonly<Record<string, HostileMode>> = {
  'answers without end': { do: 'endless' },
  'refuses in 200 MiB': { do: 'rant', bytes: 200 * MIB },
  'refuses in as many words as it may': { do: 'rant', bytes: LONGEST_RANT_BYTES },
  'refuses in control characters': { do: 'say', status: 400, message: '\u001b[2J\u0000\r\n'.repeat(4000) },
  'answers a byte at a time': { do: 'drip', ms: 20, stalls: true },
  'does not answer': { do: 'hang', stalls: true },
  'announces more than it says': { do: 'too-long', message: '{"state":"Running"}', stalls: true },
  'says more than it announces': { do: 'too-short', message: 'HTTP/1.1 204 \r\n\r\n'.repeat(100) },
  'says that all is well and does nothing': { do: 'say', status: 200, message: '{"state":"Running"}' },
  'says that it never started': { do: 'say', status: 200, message: '{"state":"Not started"}' },
  'answers with what is no object': { do: 'say', status: 200, message: '[[[[[[' },
  'ends in the middle of its answer': { do: 'cut' },
};

/** Names in the folder that a VMM works in. */
const OWN_DISK = 'disks/root';
const LOGS = ['vmm.log', 'metrics.log'];
const SNAPSHOT = ['to.memory', 'to.vmstate'];
const SOCKETS = ['microvm-api.sock', 'v.sock'];

const files = (paths: readonly string[], mode: HostileMode, what: string): [string, HostileMode][] =>
  paths.map((path) => [`${what} ${path}`, { ...mode, path }]);

const FILES: Readonly<Record<string, HostileMode>> = Object.fromEntries([
  ...files([OWN_DISK, ...LOGS], { do: 'grow', bytes: LONG_BYTES }, 'lengthens'),
  ...files(LOGS, { do: 'fill', bytes: FLOOD_BYTES }, 'floods'),
  ...files([...SOCKETS, 'disks'], { do: 'link', message: '/etc' }, 'puts a link in place of'),
  ...files(SOCKETS, { do: 'fifo' }, 'puts a pipe in place of'),
  ...files(SOCKETS, { do: 'socket' }, 'puts a dead socket in place of'),
  ...files(SOCKETS, { do: 'folder' }, 'puts a folder in place of'),
  ...files(SNAPSHOT, { do: 'grow', bytes: LONG_BYTES, only: 'snapshotVm' }, 'lengthens'),
  ...files(SNAPSHOT, { do: 'link', message: '/etc/passwd', only: 'snapshotVm' }, 'puts a link in place of'),
  ...files(SNAPSHOT, { do: 'fifo', only: 'snapshotVm' }, 'puts a pipe in place of'),
  ...files(SNAPSHOT, { do: 'socket', only: 'snapshotVm' }, 'puts a dead socket in place of'),
  ...files(SNAPSHOT, { do: 'folder', only: 'snapshotVm' }, 'puts a folder in place of'),
]);

export const HOSTILE_MODES: Readonly<Record<string, HostileMode>> = { ...ANSWERS, ...FILES };
