import { isIP } from 'node:net';
import { invalidArgument } from '@microvm/runtime';
import type { ConnectTarget } from '@microvm/runtime';
import { MAX_SOCKET_PATH_BYTES } from './protocol.js';

const MAX_PORT = 0xffff;
const MAX_VSOCK_PORT = 0xffff_fffe;

function checkPort(path: string, port: unknown, most: number, least: number): number {
  if (!Number.isInteger(port) || Number(port) < least || Number(port) > most)
    throw invalidArgument(path, `a whole number from ${least} to ${most}`);
  return Number(port);
}

/** Checks where a connection shall go to, and names its host. Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseTarget(target: unknown): ConnectTarget {
  const given = (typeof target === 'object' && target !== null ? target : {}) as Record<string, unknown>;
  const { port, host = '127.0.0.1', path, vsockPort } = given;
  if ([port, path, vsockPort].filter((one) => one !== undefined).length !== 1)
    throw invalidArgument('target', 'one of port, path and vsockPort');
  if (path !== undefined) return { path: checkPath(path) };
  if (vsockPort !== undefined) return { vsockPort: checkPort('vsockPort', vsockPort, MAX_VSOCK_PORT, 0) };
  const address = host === 'localhost' ? '127.0.0.1' : host;
  if (typeof address !== 'string' || isIP(address) === 0 || address.includes('%'))
    throw invalidArgument('host', 'an IP address of the guest, or localhost');
  return { port: checkPort('port', port, MAX_PORT, 1), host: address };
}

function checkPath(path: unknown): string {
  const isPath = typeof path === 'string' && path.startsWith('/') && !path.includes('\0');
  if (!isPath || Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
    throw invalidArgument('path', `an absolute path of at most ${MAX_SOCKET_PATH_BYTES} bytes`);
  return path;
}

/** For messages. */
export function describeTarget(target: ConnectTarget): string {
  if ('path' in target) return `"${target.path}"`;
  if ('vsockPort' in target) return `vsock port ${target.vsockPort}`;
  const { host = '127.0.0.1', port } = target;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
