import { fork } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { ChildModule } from '../factory.js';
import type { FewDescriptorsReport } from './run-few-descriptors-child.js';

/**
 * Has a child module that calls `runFewDescriptorsChild` open a state directory with ever more descriptors to spare. Rejects with how the
 * child ended and what it wrote to its standard error when it ends without a report.
 */
export async function openWithFewDescriptors(
  { path, execArgv = [] }: ChildModule,
  stateDir: string,
): Promise<FewDescriptorsReport> {
  const child = fork(path, [stateDir], {
    execArgv: [...execArgv],
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  });
  let report: FewDescriptorsReport | undefined;
  child.once('message', (message) => (report = message as FewDescriptorsReport));
  const stderr = child.stderr === null ? '' : text(child.stderr);
  // A child that has crashed sends no message, but it is closed.
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  if (report !== undefined) return report;
  throw new Error(
    `the child process ended by ${signal ?? `exit code ${code}`} without a report: ${await stderr}`,
  );
}
