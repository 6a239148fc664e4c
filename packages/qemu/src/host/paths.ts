import { join } from 'node:path';

/** Names of all that a VM has in its folder; sockets are reached through it, so that the folder's path may have any length. */
export const FILES = {
  qmpSocket: 'qmp.sock',
  agentSocket: 'agent.sock',
  console: 'console.log',
  /** What the console log held before it was last cut. */
  consoleOld: 'console.old.log',
  consolePartial: 'console.old.log.partial',
  vmmLog: 'vmm.log',
  vmmLogOld: 'vmm.old.log',
  disks: 'disks',
} as const;

export type FileName = keyof typeof FILES;

export function pathOf(directory: string, file: FileName): string {
  return join(directory, FILES[file]);
}
