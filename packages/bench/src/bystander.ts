import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/**
 * An idle Node process that measures how late its event loop is. It is a process of its own, as whoever
 * shares the machine with us is.
 */
export class Bystander implements Disposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(): Promise<Bystander> {
    const child = fork(fileURLToPath(new URL('./bystander-main.js', import.meta.url)), {
      stdio: ['ignore', process.stderr, process.stderr, 'ipc'],
    });
    await once(child, 'message');
    return new Bystander(child);
  }

  /** The 99th percentile of its delays since it started, in milliseconds; it ends then. */
  async end(): Promise<number> {
    const answered = once(this.#child, 'message');
    this.#child.send('end');
    const [delayMs] = (await answered) as [number];
    return delayMs;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}
