import { spawn } from 'node:child_process';

/**
 * Runs a program as root of mount and process namespaces of its own. Its mounts are in no other process's
 * sight, and when it ends, or we end, by whatever signal, the kernel ends every process in there and takes
 * the mounts away: there is nothing to clean up.
 *
 * @returns {import('node:child_process').ChildProcess}
 */
export function spawnInNamespaces(program, args, options) {
  // A shell is process 1 there: it waits for the program, and buries the processes that were left to it
  // meanwhile.
  const init = ['sh', '-c', '"$@"; exit $?', 'sh', program, ...args];
  return spawn(
    'setpriv',
    [
      ...[
        '--pdeathsig',
        'KILL',
        'unshare',
        '--mount',
        '--pid',
        '--ipc',
        '--fork',
        '--kill-child',
        '--mount-proc',
      ],
      ...init,
    ],
    options,
  );
}
