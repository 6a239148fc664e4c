import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openForTest } from '@microvm/conformance';
import {
  searchProcesses,
  processIdentity,
  watcherPath,
  watchProcess,
  type ProcessIdentity,
} from '@microvm/native';
import { expect, it, onTestFinished } from 'vitest';
import { minimalFactory } from './factory.js';

/**
 * Lets another process own VMs, and kills it together with its watcher: nobody is left to end what must not
 * outlive it.
 */
async function ownAndDieUnwatched(stateDir: string): Promise<ProcessIdentity> {
  const path = fileURLToPath(new URL('./owner-process.ts', import.meta.url));
  const owner = fork(path, { execArgv: ['--conditions=@microvm/source', '--import', 'tsx'] });
  onTestFinished(() => void owner.kill('SIGKILL'));
  owner.send(stateDir);
  const [vmm] = (await once(owner, 'message')) as [ProcessIdentity];
  // It must not start another watcher in between.
  owner.kill('SIGSTOP');
  for (const found of (await searchProcesses({ argument: watcherPath() })).found) {
    const status = await readFile(`/proc/${found.pid}/status`, 'utf8').catch(() => '');
    if (!status.includes(`PPid:\t${owner.pid}\n`)) continue;
    const watcher = watchProcess(found);
    watcher.kill('SIGKILL');
    await watcher.exited;
    watcher.close();
  }
  const exited = once(owner, 'exit');
  owner.kill('SIGKILL');
  await exited;
  return vmm;
}

it('destroys what an earlier owner was not to be outlived by, though its watcher was killed with it', async () => {
  const stateDir = await mkdtemp(join(tmpdir(), 'minimal-driver-'));
  onTestFinished(() => rm(stateDir, { recursive: true, force: true }));
  const vmm = await ownAndDieUnwatched(stateDir);
  expect(processIdentity(vmm.pid)?.startTime).toBe(vmm.startTime);
  const runtime = await openForTest((folder) => minimalFactory.open({ stateDir: folder }), stateDir);
  const states = (await runtime.listVms()).map(({ vmId, state }) => [vmId, state]);
  expect(states).toEqual([
    ['created', 'destroyed'],
    ['kept', 'created'],
    ['running', 'destroyed'],
  ]);
  // Process 1 has inherited it, and buries it when it comes to that.
  await expect.poll(() => processIdentity(vmm.pid)?.startTime).not.toBe(vmm.startTime);
});
