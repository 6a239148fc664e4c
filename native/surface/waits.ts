import { Socket } from 'node:net';
import type { DeliveredDescriptor, WaitRequest } from './addon.js';
import { abortable, abortSignal, absolute, claimed, invalid, object, type Started } from './calls.js';
import type { SystemError } from './errors.js';
import { loadAddon } from './load.js';
import type { ProcessIdentity, ProcessWatch } from './process.js';

/*
 * Waits for unix sockets: of a VMM's API, and of Firecracker's vsock in both directions. One thread does all
 * waits of the process; a wait costs nothing but memory and a descriptor until something happens.
 *
 * Paths may be of any length. What connects refuses a symbolic link as the last name: a VMM may write to its
 * folder, and could lead us to any socket of the host.
 */

const DEADLINE_MS = 30_000;
const LONGEST_DEADLINE_MS = 2 ** 31 - 1;
const LARGEST_PORT = 2 ** 32 - 2;
const BACKLOG = 511;

/** Why a wait ended without a connection, and where it stood. */
export interface WaitError extends SystemError {
  /**
   * `ETIMEDOUT`: the deadline passed. `ESRCH`: the process has ended. `EBADF`: the listener was closed.
   * `EPROTO`: whoever answers does not speak Firecracker's vsock. `ELOOP`, `ENOTSOCK`, `EACCES`, `ENOTDIR`…:
   * waiting would not help.
   */
  readonly code: string;
  /**
   * The state that was seen last. `no-socket`: there is no such file. `refused`: the file is there, but
   * nobody listens, because the process has ended or is not ready, or the queue is full. `no-answer`: the
   * connection was accepted and no byte came, because the guest's driver is not up or the VM is paused.
   * `closed`: the connection was accepted and closed at once, because nobody listens on the guest's port or
   * the process was ending. `no-connection`: the host listens and nobody came.
   */
  readonly stage: 'no-socket' | 'refused' | 'no-answer' | 'closed' | 'no-connection';
  /** The stage in words. */
  readonly detail?: string;
  /** How often it has tried to connect. */
  readonly attempts: number;
}

/** The events that end a wait, besides success. */
export interface WaitOptions {
  /** Milliseconds from the call, up to 2^31 - 1; `Infinity`: none. */
  readonly deadline?: number;
  /** The process without which there is nothing to wait for: its end is seen the moment it happens. */
  readonly process?: ProcessWatch | ProcessIdentity;
  /** An abort rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** As of `net.Socket`; default false. */
  readonly allowHalfOpen?: boolean;
}

/** How long a wait may take, for the addon; undefined: for ever. */
function limit(deadline: number): number | undefined {
  if (deadline === Infinity) return undefined;
  if (typeof deadline === 'number' && deadline >= 0 && deadline <= LONGEST_DEADLINE_MS)
    return Math.ceil(deadline);
  throw invalid('deadline', `a number of milliseconds from 0 to ${LONGEST_DEADLINE_MS}, or Infinity`);
}

/** The options that end every wait, except the signal. */
function ends(deadline: number, process: WaitOptions['process']): Pick<WaitRequest, 'deadline' | 'process'> {
  if (process === undefined) return { deadline: limit(deadline), process };
  const watched = object(process, 'process');
  return { deadline: limit(deadline), process: 'identity' in watched ? watched.identity : watched };
}

function port(number: number): number {
  if (Number.isInteger(number) && number >= 0 && number <= LARGEST_PORT) return number;
  throw invalid('port', `an integer from 0 to ${LARGEST_PORT}`);
}

/** A stream that owns the descriptor; claimed only then, for a worker may be terminated in between. */
function stream({ id, fd }: DeliveredDescriptor, allowHalfOpen: boolean): Socket {
  try {
    return claimed(id, new Socket({ fd, allowHalfOpen, readable: true, writable: true }));
  } catch (error) {
    loadAddon().giveBack(id);
    throw error;
  }
}

function connected(
  { signal, allowHalfOpen = false }: WaitOptions,
  start: () => Started<DeliveredDescriptor>,
): Promise<Socket> {
  if (typeof allowHalfOpen !== 'boolean') throw invalid('allowHalfOpen', 'a boolean');
  const cancel = (id: number): void => loadAddon().cancelWait(id);
  return abortable(signal, start, cancel).then((socket) => {
    if (!signal?.aborted) return stream(socket, allowHalfOpen);
    // The connection was made already. A caller that has aborted would not look for it, so it is closed.
    loadAddon().giveBack(socket.id);
    throw signal.reason;
  });
}

export interface WaitForSocketOptions extends WaitOptions {
  /** The socket's file. Its folder, too, may be made later. */
  readonly path: string;
  /** Default 30,000. */
  readonly deadline?: number;
}

/**
 * Waits until a unix socket takes connections, and yields a connected stream. While there is no file its
 * folder is watched by inotify; while the file refuses, it is tried again after 1, 2, 4… 50 ms.
 *
 * @throws WaitError (as rejection).
 */
export function waitForSocket(options: WaitForSocketOptions): Promise<Socket> {
  const { path, deadline = DEADLINE_MS, process } = object(options, 'options');
  const request = { path: absolute(path, 'path'), ...ends(deadline, process) };
  return connected(options, () => loadAddon().waitForSocket(request));
}

export interface WaitForVsockOptions extends WaitForSocketOptions {
  /** The guest's port, 0 to 2^32 - 2. */
  readonly port: number;
}

/**
 * Waits until a port of the guest answers on Firecracker's vsock socket, and yields the connected stream: its
 * first byte is the first one after Firecracker's `OK <port>\n`.
 *
 * No socket, or one that refuses: as of {@link waitForSocket}. No answer: further attempts overlap with it
 * after 100, 200, 400, 500, 500… ms, at most four at once; the first answer counts, the others are closed (so
 * the guest may see up to three connections that end without a byte). Closed at once: tried again after 2, 4,
 * 8… 50 ms.
 *
 * @throws WaitError (as rejection).
 */
export function waitForVsock(options: WaitForVsockOptions): Promise<Socket> {
  const { path, deadline = DEADLINE_MS, process } = object(options, 'options');
  const request = { path: absolute(path, 'path'), port: port(options.port), ...ends(deadline, process) };
  return connected(options, () => loadAddon().waitForVsock(request));
}

/**
 * Listens for a guest's connections. Those that nobody has accepted yet wait in the kernel. Iterating yields
 * one after the other and ends when it is closed. It does not keep Node alive, a pending `accept` does. It
 * lives until it is closed, even when nobody references it; the end of its thread leaves the file.
 */
export interface VsockListener extends AsyncIterable<Socket>, AsyncDisposable {
  /** The file, `<path>_<port>`. */
  readonly path: string;
  /**
   * The next connection: for an agent that dials out, the first one says that it is ready. Several calls may
   * be pending; each connection goes to one of them.
   *
   * @throws WaitError (as rejection), `EBADF` once it is closed.
   */
  accept(options?: WaitOptions): Promise<Socket>;
  /**
   * Stops listening and removes the file, if it is still the same one; connections that were accepted go on.
   * Idempotent.
   */
  close(): Promise<void>;
}

class BoundVsock implements VsockListener {
  readonly #id: number;
  readonly path: string;
  #closed: Promise<void> | undefined;

  constructor(id: number, path: string) {
    this.#id = id;
    this.path = path;
  }

  accept(options: WaitOptions = {}): Promise<Socket> {
    const { deadline = Infinity, process } = object(options, 'options');
    const request = { path: this.path, ...ends(deadline, process) };
    return connected(options, () => loadAddon().acceptSocket(this.#id, request));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Socket, void, undefined> {
    while (!this.#isClosed()) {
      try {
        yield await this.accept();
      } catch (error) {
        if (!this.#isClosed()) throw error;
      }
    }
  }

  #isClosed(): boolean {
    return this.#closed !== undefined;
  }

  close(): Promise<void> {
    this.#closed ??= loadAddon().closeListener(this.#id);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export interface ListenVsockOptions {
  /**
   * Firecracker's `uds_path`, as a path of ours: the socket's file is `<path>_<port>`. The folder must be
   * there.
   */
  readonly path: string;
  /** The host's port to which the guest connects, 0 to 2^32 - 2. */
  readonly port: number;
  /**
   * The user who owns the file, and so may connect; default: our own. To give the file to another user needs
   * CAP_CHOWN.
   */
  readonly uid?: number;
  readonly gid?: number;
  /** Permissions of the file, up to 0o777; default 0o600. Connecting needs the right to write. */
  readonly mode?: number;
  /** Connections that may wait to be accepted; default 511. The host's `net.core.somaxconn` is the limit. */
  readonly backlog?: number;
  /** An abort while the socket is made removes it again. */
  readonly signal?: AbortSignal;
}

/**
 * Binds the socket on which a guest's connections to a port of the host arrive; before boot, so that none is
 * refused.
 *
 * @throws SystemError (as rejection): `EADDRINUSE` when the file exists, `ENOENT` when the folder is missing,
 * `EPERM`, `ENAMETOOLONG` when the name itself has more than some 85 bytes.
 */
export function listenVsock(options: ListenVsockOptions): Promise<VsockListener> {
  const { path, uid, gid, mode = 0o600, backlog = BACKLOG, signal } = object(options, 'options');
  const file = `${absolute(path, 'path')}_${port(options.port)}`;
  if (abortSignal(signal)?.aborted) return Promise.reject(signal?.reason);
  const listening = loadAddon().listenSocket({ path: file, mode, backlog, uid, gid });
  return listening.then(async (id) => {
    if (!signal?.aborted) return claimed(id, new BoundVsock(id, file));
    await loadAddon().closeListener(id);
    throw signal.reason;
  });
}
