import { fork } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { ChildModule } from '../factory.js';

/**
 * Runs a module in a child process, which finds `args` behind the first two of `process.argv`. Answers with
 * the one message that the child sends. When the child ends without a message, rejects with how it ended and
 * what it wrote to its standard error.
 */
export async function reportOfChild<T>(
  { path, execArgv = [] }: ChildModule,
  args: readonly string[],
): Promise<T> {
  const child = fork(path, args, { execArgv: [...execArgv], stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
  const reports: T[] = [];
  child.once('message', (message) => reports.push(message as T));
  const stderr = child.stderr === null ? '' : text(child.stderr);
  // A child that has crashed sends no message, but it is closed.
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  const [report] = reports;
  if (report !== undefined) return report;
  const how = signal ?? `exit code ${code}`;
  throw new Error(`the child process ended by ${how} without a report: ${await stderr}`);
}
