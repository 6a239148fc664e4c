import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/**
 * A server that takes every connection, in a process of its own as a VMM is: it takes no time of the loop
 * that is measured.
 */
export class SocketPeer implements Disposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async listen(path: string): Promise<SocketPeer> {
    const child = fork(fileURLToPath(new URL('./socket-peer-main.js', import.meta.url)), [path], {
      stdio: 'inherit',
    });
    await once(child, 'message');
    return new SocketPeer(child);
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}
