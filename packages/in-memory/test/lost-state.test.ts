import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as native from '@microvm/native';
import { openRuntime, type HostCalls, type VmRuntime } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createInMemoryRuntime, createWorld, type World } from '../src/index.js';
import { makeDriver } from './driver-harness.js';

async function makeStateDir(): Promise<string> {
  const stateDir = await mkdtemp(join(tmpdir(), 'microvm-test-'));
  onTestFinished(() => rm(stateDir, { recursive: true, force: true }));
  return stateDir;
}

/** A runtime with a running VM "a", whose state directory is gone. */
async function openAndLose(): Promise<{ runtime: VmRuntime; world: World }> {
  const stateDir = await makeStateDir();
  const world = createWorld();
  const runtime = await createInMemoryRuntime({ stateDir, world });
  await runtime.createVm('a');
  await runtime.startVm('a');
  await rm(stateDir, { recursive: true });
  return { runtime, world };
}

const MISSING = { code: 'MICROVM_HOST_FAILURE', details: { errno: 'ENOENT' } };

describe('a runtime whose state directory was removed', () => {
  it('ends the VMM of a VM that is to be destroyed, and says what could not be written', async () => {
    const { runtime, world } = await openAndLose();
    await expect(runtime.destroyVm('a')).rejects.toMatchObject(MISSING);
    expect(world.vms.size).toBe(0);
    const view = await runtime.getVm('a');
    expect(view).toMatchObject({
      state: 'crashed',
      cleanup: { left: [expect.stringContaining('record of')] },
    });
    expect(view?.operation).toBeUndefined();
    await runtime.close();
  });

  it('lists no VM that it could not make', async () => {
    const { runtime, world } = await openAndLose();
    await expect(runtime.createVm('b')).rejects.toMatchObject(MISSING);
    expect((await runtime.listVms()).map(({ vmId }) => vmId)).toEqual(['a']);
    expect(world.vms.size).toBe(1);
    await runtime.close();
  });

  it.each(['stopVm', 'pauseVm', 'startVm'] as const)(
    'refuses %s with an error of the contract',
    async (verb) => {
      const { runtime } = await openAndLose();
      if (verb === 'startVm') await runtime.destroyVm('a').catch(() => undefined);
      await expect(runtime[verb]('a')).rejects.toMatchObject(MISSING);
      expect((await runtime.getVm('a'))?.operation).toBeUndefined();
      await runtime.close();
    },
  );

  it('destroys what must not outlive it when it is closed', async () => {
    const stateDir = await makeStateDir();
    const world = createWorld();
    const runtime = await createInMemoryRuntime({ stateDir, world });
    await runtime.createVmWithSpec('a', { onOwnerDeath: 'destroy' });
    await rm(stateDir, { recursive: true });
    await runtime.close();
    expect(world.vms.size).toBe(0);
  });
});

describe('a job that fails, and whose failure cannot be written', () => {
  it('rejects with its own error, and leaves the VM as it is', async () => {
    const stateDir = await makeStateDir();
    const hostCalls = brokenHost();
    const driver = makeDriver({ hostCalls });
    const runtime = await openRuntime({
      driver,
      hostCalls,
      stateDir,
      onStep(step) {
        if (step !== 'startVm:intent') return;
        hostCalls.isBroken = true;
        throw Object.assign(new Error('planted'), { code: 'EPLANTED' });
      },
    });
    await runtime.createVm('a');
    await expect(runtime.startVm('a')).rejects.toMatchObject({ details: { errno: 'EPLANTED' } });
    const view = await runtime.getVm('a');
    expect(view?.state).toBe('created');
    expect(view?.operation).toBeUndefined();
    await runtime.close();
  });
});

interface BrokenHost extends HostCalls {
  isBroken: boolean;
}

/** A host that refuses durable writes when it is told to. */
function brokenHost(): BrokenHost {
  const hostCalls: BrokenHost = {
    ...native,
    isBroken: false,
    async writeDurable(path, data, options) {
      if (hostCalls.isBroken) throw Object.assign(new Error(`EMFILE: ${path}`), { code: 'EMFILE' });
      await native.writeDurable(path, data, options);
    },
  };
  return hostCalls;
}

async function canBeImmutable(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'microvm-test-'));
  const can = await setImmutable(folder, true).then(
    () => true,
    () => false,
  );
  await setImmutable(folder, false).catch(() => undefined);
  await rm(folder, { recursive: true });
  return can;
}

async function setImmutable(path: string, isSet: boolean): Promise<void> {
  await promisify(execFile)('chattr', [isSet ? '+i' : '-i', path]);
}

/** Makes a folder that nobody can remove before the test is over. */
async function protect(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'left'), '');
  await setImmutable(path, true);
  onTestFinished(() => setImmutable(path, false));
}

// Needs root, and a file system that knows the flag.
describe.skipIf(!(await canBeImmutable()))('what cannot be removed', () => {
  it('does not keep a state directory from being opened, and is reported', async () => {
    const stateDir = await makeStateDir();
    const first = await createInMemoryRuntime({ stateDir });
    await first.createVm('a');
    await first.close();
    await protect(join(stateDir, 'snapshots', '.staging-orphan'));
    await mkdir(join(stateDir, 'vms', 'orphan'));
    const second = await createInMemoryRuntime({ stateDir });
    expect((await second.getVm('a'))?.state).toBe('created');
    const { swept, notSwept } = second.recovery;
    expect(swept).toEqual([join('vms', 'orphan')]);
    expect(notSwept).toEqual([
      { what: join('snapshots', '.staging-orphan'), problem: expect.any(String) as string },
    ]);
    await second.close();
  });

  it('of a destroyed VM does not fail the create that takes its id', async () => {
    const stateDir = await makeStateDir();
    const runtime = await createInMemoryRuntime({ stateDir });
    const { instanceId } = await runtime.createVm('a');
    await runtime.destroyVm('a');
    await setImmutable(join(stateDir, 'vms', instanceId), true);
    onTestFinished(() => setImmutable(join(stateDir, 'vms', instanceId), false));
    const view = await runtime.createVm('a');
    expect(view.state).toBe('created');
    expect(await runtime.listVms()).toEqual([view]);
    await runtime.close();
  });
});
