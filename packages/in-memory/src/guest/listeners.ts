import { ScriptedErrno, type ScriptedServer, type ScriptedSocket } from '@microvm/guest';
import { onAbort, type ConnectTarget } from '@microvm/runtime';
import type { ScriptedConnection } from './guest-script.js';

/** The commands of one life of a guest that wait for a connection to a TCP port. */
export class Listeners {
  readonly #waiting = new Map<number, (socket: ScriptedConnection) => void>();

  /** Resolves with the next connection. Rejects with the signal's reason. */
  listen(port: number, signal: AbortSignal): Promise<ScriptedConnection> {
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

  serverAt(target: ConnectTarget): ScriptedServer | undefined {
    const accept = 'port' in target ? this.#waiting.get(target.port) : undefined;
    if (accept === undefined) return undefined;
    return (socket: ScriptedSocket) =>
      new Promise((resolve, reject) => {
        accept({ ...socket, close: resolve, reset: () => reject(new ScriptedErrno('ECONNRESET')) });
      });
  }
}
