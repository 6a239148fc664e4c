import { mkdir, stat } from 'node:fs/promises';
import { VmRuntimeError } from '../contract/errors.js';

const OTHERS_MAY_WRITE = 0o022;

/**
 * Makes the state directory where it is missing. Refuses a directory that another user owns or may write to,
 * because that user could put records of VMs there and so control this process. Errors: INVALID_ARGUMENT, the
 * system's.
 */
export async function makeStateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const { uid, mode } = await stat(path);
  const own = process.geteuid?.();
  if (own !== undefined && uid !== own) {
    throw refused(path, `user ${uid} owns it, this process runs as ${own}`, `chown ${own} '${path}'`);
  }
  if ((mode & OTHERS_MAY_WRITE) !== 0) {
    const bits = (mode & 0o7777).toString(8).padStart(4, '0');
    throw refused(path, `other users may write to it (mode ${bits})`, `chmod go-w '${path}'`);
  }
}

function refused(path: string, problem: string, command: string): VmRuntimeError {
  return new VmRuntimeError('MICROVM_INVALID_ARGUMENT', `stateDir: "${path}": ${problem}`, {
    details: { path: 'stateDir', expected: 'a folder of this user that nobody else may write to' },
    remedy: `choose another directory or, if its content is to be trusted, ${command}`,
  });
}
