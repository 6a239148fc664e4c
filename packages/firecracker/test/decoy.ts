import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { expect, onTestFinished } from 'vitest';

const NOBODY = 65_534;

/** A process of a local user who wants it to be taken for a VM's VMM. */
export interface Decoy {
  readonly child: ChildProcess;
  /** Takes on the arguments of the VMM of this instance. */
  become(instanceId: string): Promise<void>;
  /** Fails when somebody has ended it. */
  expectAlive(): void;
}

/** Starts a decoy before there is a VM, so that its pid is lower; it lives until the end of the test. */
export function startDecoy(): Decoy {
  const script = 'read id && exec sh -c "read rest" firecracker --id "$id" --api-sock microvm-api.sock';
  const child = spawn('sh', ['-c', script], {
    uid: NOBODY,
    gid: NOBODY,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return {
    child,
    become: async (instanceId) => {
      child.stdin?.write(`${instanceId}\n`);
      await expect.poll(() => readFile(`/proc/${child.pid ?? 0}/cmdline`, 'utf8')).toContain(instanceId);
    },
    expectAlive: () => expect(child.exitCode ?? child.signalCode).toBeNull(),
  };
}
