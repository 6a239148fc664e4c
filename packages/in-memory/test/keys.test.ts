import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VmRuntime } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createInMemoryRuntime, createVirtualClock } from '../src/index.js';

async function makeStateDir(): Promise<string> {
  const stateDir = await mkdtemp(join(tmpdir(), 'microvm-test-'));
  onTestFinished(() => rm(stateDir, { recursive: true, force: true }));
  return stateDir;
}

/** Pauses and resumes a VM so often, each time under a key of its own. */
async function makeHistory(runtime: VmRuntime, vmId: string, calls: number): Promise<void> {
  for (let call = 0; call < calls; call += 1) {
    const options = { idempotencyKey: `${vmId}-${call}` };
    await (call % 2 === 0 ? runtime.pauseVm(vmId, options) : runtime.resumeVm(vmId, options));
  }
}

describe('the keys of a VM with a long history', () => {
  it('answer after a restart, while its record keeps a few jobs only', async () => {
    const stateDir = await makeStateDir();
    const first = await createInMemoryRuntime({ stateDir });
    await first.createVm('a');
    const { instanceId } = await first.startVm('a');
    await makeHistory(first, 'a', 40);
    const { jobs } = JSON.parse(await readFile(join(stateDir, 'vms', instanceId, 'vm.json'), 'utf8')) as {
      jobs: unknown[];
    };
    expect(jobs).toHaveLength(8);
    await first.close();
    const second = await createInMemoryRuntime({ stateDir });
    for (const call of [0, 20, 39]) {
      const options = { idempotencyKey: `a-${call}` };
      const view = await (call % 2 === 0 ? second.pauseVm('a', options) : second.resumeVm('a', options));
      expect(view.instanceId).toBe(instanceId);
    }
    await second.close();
  });

  it('go with the VM when it is forgotten', async () => {
    const stateDir = await makeStateDir();
    const runtime = await createInMemoryRuntime({ stateDir });
    await runtime.createVm('a');
    await runtime.startVm('a');
    await makeHistory(runtime, 'a', 20);
    await runtime.destroyVm('a');
    await runtime.forgetVm('a');
    await expect(runtime.pauseVm('a', { idempotencyKey: 'a-0' })).rejects.toMatchObject({
      code: 'MICROVM_VM_NOT_FOUND',
    });
    await runtime.close();
    expect(await readdir(join(stateDir, 'jobs'))).toEqual([]);
  });

  it('never make a file more than a state directory keeps of them', async () => {
    const runtime = await createInMemoryRuntime();
    await runtime.createVm('a');
    await runtime.startVm('a');
    await makeHistory(runtime, 'a', 4200);
    const jobs = await runtime.listJobs({ vmId: 'a' });
    expect(jobs.length).toBeLessThanOrEqual(4096 + 8);
    const last = await runtime.resumeVm('a', { idempotencyKey: 'a-4199' });
    expect(last.state).toBe('running');
    await runtime.close();
  });
});

describe('a job that did what it was asked for', () => {
  it('resolves, and warns, although its end cannot be noted', async () => {
    const stateDir = await makeStateDir();
    const runtime = await createInMemoryRuntime({ stateDir });
    await runtime.createVm('a');
    const { snapshotUid } = await runtime.snapshotVm('a', 's');
    await rm(join(stateDir, 'jobs'), { recursive: true });
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    const view = await runtime.verifySnapshot({ snapshotUid }, { idempotencyKey: 'verified' });
    expect(view.snapshotUid).toBe(snapshotUid);
    expect(await warned).toMatchObject({ code: 'MICROVM_HOST_FAILURE', details: { errno: 'ENOENT' } });
    await runtime.close();
  });
});

describe('the retention of a key', () => {
  const retention = { idempotencyRetentionMs: 60_000 };

  it('is measured by time that passes, not by the date', async () => {
    const clock = createVirtualClock();
    const runtime = await createInMemoryRuntime({ clock, ...retention });
    const options = { idempotencyKey: 'made' };
    const { instanceId } = await runtime.createVm('a', options);
    clock.setNow(clock.now() + 365 * 86_400_000);
    expect((await runtime.createVm('a', options)).instanceId).toBe(instanceId);
    clock.setNow(clock.now() - 730 * 86_400_000);
    await clock.advance(60_001);
    await expect(runtime.createVm('a', options)).rejects.toMatchObject({ code: 'MICROVM_VM_ALREADY_EXISTS' });
    await runtime.close();
  });

  it('is not made longer by a restart after the date was set back', async () => {
    const stateDir = await makeStateDir();
    const clock = createVirtualClock();
    const options = { idempotencyKey: 'made' };
    const first = await createInMemoryRuntime({ stateDir, clock, ...retention });
    await first.createVm('a', options);
    await first.close();
    clock.setNow(clock.now() - 365 * 86_400_000);
    const second = await createInMemoryRuntime({ stateDir, clock, ...retention });
    await clock.advance(60_001);
    await expect(second.createVm('a', options)).rejects.toMatchObject({ code: 'MICROVM_VM_ALREADY_EXISTS' });
    await second.close();
  });
});

describe('the time that a guest stands still for its snapshot', () => {
  it('is measured by time that passes, not by the date', async () => {
    const clock = createVirtualClock();
    const runtime = await createInMemoryRuntime({
      clock,
      latencyMs: { capture: 250 },
      onStep(step) {
        if (step === 'pause:held') clock.setNow(clock.now() - 3_600_000);
      },
    });
    await runtime.createVm('a');
    await runtime.startVm('a');
    const taken = runtime.snapshotVm('a', 's');
    await clock.advance(250);
    expect((await taken).pausedMs).toBe(250);
    await runtime.close();
  });
});
