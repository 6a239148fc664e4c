import { unlink } from 'node:fs/promises';
import { absolute, claimed, object, undoneIfAborted } from './calls.js';
import type { AbortOptions } from './errors.js';
import { loadAddon } from './load.js';

/**
 * Connects to a unix stream socket. The path may have any length (Node and the kernel stop at 107 bytes). An
 * abort closes it.
 *
 * @returns a connected, non-blocking, close-on-exec descriptor; the caller owns it: `new net.Socket({ fd })`,
 * {@link closeDescriptor}.
 * @throws SystemError (as rejection): `ENOENT`, `ECONNREFUSED`, `EAGAIN` when the listener's queue is full…
 */
export function connectUnix(path: string, options: AbortOptions = {}): Promise<number> {
  const { signal } = object(options, 'options');
  const file = absolute(path, 'path');
  const connected = undoneIfAborted(
    signal,
    () => loadAddon().connectUnix(file),
    ({ id }) => loadAddon().giveBack(id),
  );
  return connected.then(({ id, fd }) => claimed(id, fd));
}

export interface ListenOptions {
  /**
   * Permission bits of the socket file; default 0o600. It never has more than these, not even for a moment.
   */
  readonly mode?: number;
  /** Default 511. */
  readonly backlog?: number;
  /** An abort closes the socket and removes its file. */
  readonly signal?: AbortSignal;
}

/**
 * Binds and listens on a unix stream socket. The path may have any length.
 *
 * @returns a listening, non-blocking, close-on-exec descriptor; the caller owns it: `server.listen({ fd })`;
 * and the caller unlinks the path at the end.
 * @throws SystemError (as rejection): `EADDRINUSE` when the path exists…
 */
export function listenUnix(path: string, options: ListenOptions = {}): Promise<number> {
  const { mode = 0o600, backlog = 511, signal } = object(options, 'options');
  const file = absolute(path, 'path');
  const listening = undoneIfAborted(
    signal,
    () => loadAddon().listenUnix(file, mode, backlog),
    ({ id }) => {
      loadAddon().giveBack(id);
      return unlink(file);
    },
  );
  return listening.then(({ id, fd }) => claimed(id, fd));
}

/**
 * Makes two connected unix stream sockets that have no path: what a child process gets one end of.
 *
 * @returns non-blocking, close-on-exec descriptors; the caller owns both: `new net.Socket({ fd })`, {@link
 * closeDescriptor}.
 * @throws SystemError: `EMFILE`, `ENFILE`.
 */
export function socketPair(): readonly [number, number] {
  return loadAddon().socketPair();
}

/**
 * Sends data with descriptors (SCM_RIGHTS) over a connected unix socket. All of the data is written before it
 * returns; the descriptors go with its first byte and stay open here. For short messages: it waits up to 1 s
 * for room in the socket.
 *
 * @param data at least one byte. @param fds 1 to 253 descriptors.
 * @throws SystemError; `ETIMEDOUT` when the peer did not read.
 */
export function sendDescriptors(socketFd: number, data: Uint8Array, fds: readonly number[]): void {
  loadAddon().sendDescriptors(socketFd, data, fds);
}
