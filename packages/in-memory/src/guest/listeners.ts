import { ScriptedErrno, type ScriptedServer, type ScriptedSocket } from '@microvm/guest';
import { onAbort, type ConnectTarget } from '@microvm/runtime';
import { DiskError } from '../fs/inode.js';
import type { ScriptedConnection } from './guest-script.js';

/** Connections between one life of a guest and its host, in both directions. */
export class Listeners {
  readonly #toHost: (target: ConnectTarget, serve: ScriptedServer) => boolean;
  /** Those commands that wait for a connection to a TCP port. */
  readonly #waiting = new Map<number, (socket: ScriptedConnection) => void>();

  /** `toHost`: connects to where the host listens; false when it does not. */
  constructor(toHost: (target: ConnectTarget, serve: ScriptedServer) => boolean = () => false) {
    this.#toHost = toHost;
  }

  /** Resolves when the host has accepted. Rejects with `ECONNREFUSED`, and with the signal's reason. */
  dial(target: ConnectTarget, signal?: AbortSignal): Promise<ScriptedConnection> {
    return new Promise((resolve, reject) => {
      const stop = onAbort(signal, () => reject(signal?.reason as Error));
      const isThere = this.#toHost(target, (socket) => {
        stop();
        return connected(socket, resolve);
      });
      if (isThere) return;
      stop();
      reject(new ScriptedErrno('ECONNREFUSED', 'connect'));
    });
  }

  /** Resolves with the next connection. Rejects with the signal's reason, or a `DiskError` `EADDRINUSE`. */
  async listen(port: number, signal: AbortSignal): Promise<ScriptedConnection> {
    if (this.#waiting.has(port)) throw new DiskError('EADDRINUSE', `port ${port} is taken`);
    return new Promise((resolve, reject) => {
      const stop = onAbort(signal, () => {
        this.#waiting.delete(port);
        reject(signal.reason as Error);
      });
      this.#waiting.set(port, (socket) => {
        stop();
        this.#waiting.delete(port);
        resolve(socket);
      });
    });
  }

  /** In ascending order. */
  get ports(): readonly number[] {
    return [...this.#waiting.keys()].sort((a, b) => a - b);
  }

  serverAt(target: ConnectTarget): ScriptedServer | undefined {
    const accept = 'port' in target ? this.#waiting.get(target.port) : undefined;
    if (accept === undefined) return undefined;
    return (socket) => connected(socket, accept);
  }
}

/** Gives a connection to whoever takes it, and resolves when that has closed it. */
function connected(socket: ScriptedSocket, take: (connection: ScriptedConnection) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    take({ ...socket, close: resolve, reset: () => reject(new ScriptedErrno('ECONNRESET')) });
  });
}
