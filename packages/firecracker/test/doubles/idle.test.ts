import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';

const OBSERVED_S = 3;
// Node's own threads look after themselves now and then; three VMs that were asked each second would show as
// many more.
const MOST_CALLS = 30;
const TIMES = 5;

/** All system calls of a process and its threads, while one looks. */
function countCalls(pid: number): Promise<string> {
  return new Promise((resolve, reject) => {
    // strace counts until it is interrupted, and says so on standard error.
    execFile(
      'timeout',
      ['-s', 'INT', String(OBSERVED_S), 'strace', '-f', '-c', '-p', String(pid)],
      (error, _stdout, stderr) => {
        if (error !== null && error.code === 'ENOENT') reject(error);
        else resolve(stderr);
      },
    );
  });
}

/** NaN when nothing was counted. */
function totalOf(counted: string): number {
  const total = /^\s*100\.00\s+\S+\s+\S*\s+(\d+)/m.exec(counted)?.[1];
  return Number(total ?? (/detached/.test(counted) ? 0 : NaN));
}

it('makes no system call for VMs that nobody asks anything of', async () => {
  const stateDir = await mkdtemp(join(tmpdir(), 'fc-idle-'));
  onTestFinished(() => rm(stateDir, { recursive: true, force: true }));
  const owner = fork(fileURLToPath(new URL('./idle-owner.ts', import.meta.url)), [stateDir], {
    execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
  });
  onTestFinished(() => void owner.kill('SIGKILL'));
  await once(owner, 'message');
  let counted = await countCalls(owner.pid ?? 0);
  // Garbage is collected in some of the times; what VMs cost would be there in each of them.
  for (let time = 1; time < TIMES && totalOf(counted) > MOST_CALLS; time += 1)
    counted = await countCalls(owner.pid ?? 0);
  expect(totalOf(counted), counted).toBeLessThanOrEqual(MOST_CALLS);
  owner.send('end');
  const [code] = (await once(owner, 'exit')) as [number];
  expect(code).toBe(0);
});
