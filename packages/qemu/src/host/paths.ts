import { join } from 'node:path';
import { DISKS_FOLDER, LOG_FILES } from '@microvm/driver-kit';

/**
 * Names of all that a VM has in its folder; sockets are reached through it, so that the folder's path may
 * have any length.
 */
export const FILES = {
  qmpSocket: 'qmp.sock',
  agentSocket: 'agent.sock',
  ...LOG_FILES,
  disks: DISKS_FOLDER,
} as const;

export type FileName = keyof typeof FILES;

export function pathOf(directory: string, file: FileName): string {
  return join(directory, FILES[file]);
}
