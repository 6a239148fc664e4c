import { join } from 'node:path';

/** The names of a VM's logs in its folder, whatever its VMM. */
export const LOG_FILES = { console: 'console.log', vmmLog: 'vmm.log' } as const;

/** One of a VM's logs. */
export type LogFile = keyof typeof LOG_FILES;

/** The path of a log in a VM's folder. */
export function logPath(directory: string, file: LogFile): string {
  return join(directory, LOG_FILES[file]);
}
