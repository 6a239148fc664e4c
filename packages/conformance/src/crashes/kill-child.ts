import { fork } from 'node:child_process';
import type { ChildModule } from '../factory.js';
import type { CrashFailure, CrashTask } from './run-crash-child.js';

/** Runs a task in a child process, and resolves when it was killed where it should be. */
export async function killChild(module: ChildModule, task: CrashTask): Promise<void> {
  const child = fork(module.path, [], {
    execArgv: [...(module.execArgv ?? [])],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  let problem = '';
  child.on('message', (message: CrashFailure) => (problem = message.problem));
  child.send(task);
  const ended = await new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  if (ended !== 'SIGKILL')
    throw new Error(`the child process ended by ${ended}, not in its step: ${problem}`);
}
