import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processIdentity } from '@microvm/native';
import type { VmRuntime } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { VMM_FILES } from '../../src/host/paths.js';
import { openDoubles } from './doubles.js';

interface Scene {
  readonly runtime: VmRuntime;
  readonly stateDir: string;
  readonly pid: number;
  readonly instanceId: string;
}

/** A runtime with a running VM "a". */
async function running(jail: boolean): Promise<Scene> {
  const stateDir = await mkdtemp(join(tmpdir(), 'fc-lost-'));
  onTestFinished(() => rm(stateDir, { recursive: true, force: true }));
  const runtime = await openDoubles({ stateDir, defaults: { jail } });
  await runtime.createVm('a');
  const { vmm, instanceId } = await runtime.startVm('a');
  return { runtime, stateDir, pid: vmm?.pid ?? 0, instanceId };
}

const isAlive = (pid: number): boolean => processIdentity(pid) !== undefined;
const MISSING = { code: 'MICROVM_HOST_FAILURE', details: { errno: 'ENOENT' } };

describe.each([true, false])('a running VM; jail: %s', (jail) => {
  it('whose state directory is gone is ended by destroyVm, which says what it could not write', async () => {
    const { runtime, stateDir, pid } = await running(jail);
    await rm(stateDir, { recursive: true });
    for (const verb of ['pauseVm', 'stopVm'] as const)
      await expect(runtime[verb]('a')).rejects.toMatchObject(MISSING);
    await expect(runtime.snapshotVm('a', 's')).rejects.toMatchObject(MISSING);
    expect(isAlive(pid)).toBe(true);
    await expect(runtime.destroyVm('a')).rejects.toMatchObject(MISSING);
    expect(isAlive(pid)).toBe(false);
    expect(await runtime.getVm('a')).toMatchObject({ state: 'crashed' });
  });

  it('whose VMM has no folder any more is paused, resumed and stopped all the same', async () => {
    const { runtime, stateDir, pid, instanceId } = await running(jail);
    await rm(join(stateDir, jail ? 'jail' : `vms/${instanceId}/vmm`), { recursive: true });
    await expect(runtime.snapshotVm('a', 's')).rejects.toMatchObject({ code: 'MICROVM_VMM_REJECTED' });
    expect(await runtime.pauseVm('a')).toMatchObject({ state: 'paused' });
    expect(await runtime.resumeVm('a')).toMatchObject({ state: 'running' });
    expect(await runtime.stopVm('a')).toMatchObject({ state: 'stopped' });
    expect(isAlive(pid)).toBe(false);
    expect(await runtime.destroyVm('a')).toMatchObject({ state: 'destroyed' });
  });

  it('in whose folder a dump has no place gets the VMM’s own error, and none of what is cleaned up', async () => {
    const { runtime, pid } = await running(jail);
    await mkdir(join(`/proc/${pid}/cwd`, VMM_FILES.savedMemory));
    await expect(runtime.snapshotVm('a', 's')).rejects.toMatchObject({ code: 'MICROVM_VMM_REJECTED' });
    expect(await runtime.getVm('a')).toMatchObject({ state: 'running', snapshots: [] });
  });
});
