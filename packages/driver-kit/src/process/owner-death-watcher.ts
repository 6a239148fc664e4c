import { Socket } from 'node:net';
import {
  closeDescriptor,
  socketPair,
  spawnProcess,
  watcherPath,
  type ProcessIdentity,
  type SpawnedProcess,
} from '@microvm/native';

interface Running {
  readonly process: SpawnedProcess;
  readonly line: Socket;
}

/**
 * Ends VMs that must not outlive this process: a tiny program that holds the other end of a socket and acts
 * when ours is closed, however we ended. Started when the first such VM is, and again should it be killed.
 */
export class OwnerDeathWatcher {
  /** What the program has been told, by pid. */
  readonly #wards = new Map<number, string>();
  #running: Promise<Running> | undefined;
  #isClosed = false;

  /** To be called before a VMM is started: so that nothing lies between its start and `add`. */
  async ready(): Promise<void> {
    await this.#run();
  }

  /** From when it resolves, the VMM ends with us and these folders of its VM go, cgroups among them. */
  async add({ pid, startTime }: ProcessIdentity, ...directories: readonly string[]): Promise<void> {
    await this.ready();
    const order = directories.map((directory) => `add ${pid} ${startTime} ${directory}\n`).join('');
    this.#wards.set(pid, order);
    await this.#tell(order);
  }

  /** The VMM has ended. */
  async remove({ pid }: ProcessIdentity): Promise<void> {
    if (this.#wards.delete(pid)) await this.#tell(`del ${pid}\n`);
  }

  /** Ends the watcher, and with it what is still on its list. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const running = await this.#running?.catch(() => undefined);
    if (running === undefined) return;
    running.line.destroy();
    await running.process.ref().exited;
  }

  // An order that cannot be given went to a watcher that was killed: the next one is told all of them.
  async #tell(order: string): Promise<void> {
    const running = await this.#running?.catch(() => undefined);
    await new Promise<void>((resolve) => {
      if (running === undefined) resolve();
      else running.line.write(order, () => resolve());
    });
  }

  /** A watcher that could not be started is tried again by the next VM that needs a watcher. */
  #run(): Promise<Running> {
    this.#running ??= this.#start().catch((error: unknown) => {
      this.#running = undefined;
      throw error;
    });
    return this.#running;
  }

  async #start(): Promise<Running> {
    const [ours, theirs] = socketPair();
    const line = new Socket({ fd: ours, readable: true, writable: true });
    line.on('error', () => line.destroy());
    // The watcher waits for the end of this process, so it must not put that end off.
    line.unref();
    try {
      const watcher = await spawnProcess({ file: watcherPath(), fds: [null, null, null, theirs] });
      for (const order of this.#wards.values()) line.write(order);
      void watcher.exited.then(() => this.#restart());
      return { process: watcher, line };
    } catch (error) {
      line.destroy();
      throw error;
    } finally {
      closeDescriptor(theirs);
    }
  }

  #restart(): void {
    if (this.#isClosed) return;
    this.#running = undefined;
    this.#run().catch(() => undefined);
  }
}
