import { fork, type ChildProcess } from 'node:child_process';
import type { ChildModule } from '../factory.js';
import type { CrashFailure, CrashTask } from './run-crash-child.js';

/**
 * Child processes to be killed, one after the other. The next one is started ahead: most of a child's time is
 * its start.
 */
export class CrashChildren {
  readonly #module: ChildModule;
  #next: ChildProcess | undefined;

  constructor(module: ChildModule) {
    this.#module = module;
  }

  /** Runs a task in a child process; resolves when that was killed in the step it should be. */
  async kill(task: CrashTask): Promise<void> {
    const child = this.#next ?? this.#start();
    let problem = '';
    child.on('message', (message: CrashFailure) => (problem = message.problem));
    const ended = new Promise<string>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    child.send(task);
    this.#next = this.#start();
    const how = await ended;
    if (how !== 'SIGKILL') throw new Error(`the child process ended by ${how}, not in its step: ${problem}`);
  }

  /** Ends the child that waits for a task. */
  async dispose(): Promise<void> {
    const child = this.#next;
    this.#next = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  #start(): ChildProcess {
    const { path, execArgv = [] } = this.#module;
    return fork(path, [], { execArgv: [...execArgv], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }
}
