import type { GuestEnding } from '@microvm/conformance';
import { OWN_JOB_KINDS, type VmRuntime } from '@microvm/runtime';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { endDouble, openDoubles } from './doubles.js';

/** Resolves when the runtime has dealt with an end that it saw; events are heard from the call on. */
async function observed(runtime: VmRuntime): Promise<void> {
  for await (const event of runtime.events()) {
    if (event.type !== 'job' || event.job.status !== 'succeeded') continue;
    if (OWN_JOB_KINDS.some((kind) => kind === event.job.kind)) return;
  }
  throw new Error('the runtime was closed');
}

describe('the end of a guest that nobody asked for', () => {
  it.each<[GuestEnding, object]>([
    ['power-off', { state: 'stopped', ending: { reason: 'power-off', exitCode: 0 } }],
    ['panic', { state: 'crashed', ending: { reason: 'panic', exitCode: 0 } }],
    ['kill-vmm', { state: 'crashed', ending: { reason: 'vmm-exit', exitCode: null, signal: 'SIGKILL' } }],
  ])('by %s is told with its exit code and the last words', async (how, expected) => {
    await using runtime = await openDoubles();
    await runtime.createVm('a');
    await runtime.startVm('a');
    const seen = observed(runtime);
    await endDouble(runtime, 'a', how);
    await seen;
    const view = await runtime.getVm('a');
    expect(view).toMatchObject(expected);
    if (how === 'panic') expect(view?.ending?.lastLogLines.join('\n')).toContain('Kernel panic');
    await runtime.destroyVm('a');
  });

  it('by a reboot is a boot again', async () => {
    await using runtime = await openDoubles();
    await runtime.createVm('a');
    const before = await runtime.startVm('a');
    const seen = observed(runtime);
    await endDouble(runtime, 'a', 'reboot');
    await seen;
    const after = await runtime.getVm('a');
    expect(after).toMatchObject({ state: 'running' });
    expect(after?.vmm?.pid).not.toBe(before.vmm?.pid);
    await runtime.destroyVm('a');
  });

  it('is seen of a VM that was taken over too', async () => {
    const stateDir = await mkdtemp(join(tmpdir(), 'fc-endings-'));
    onTestFinished(() => rm(stateDir, { recursive: true, force: true }));
    const first = await openDoubles({ stateDir });
    await first.createVm('a');
    await first.startVm('a');
    await first.close();
    const second = await openDoubles({ stateDir });
    const seen = observed(second);
    await endDouble(second, 'a', 'power-off');
    await seen;
    const { state, ending } = (await second.getVm('a')) ?? {};
    expect(state).toBe('stopped');
    expect(ending?.reason).toBe('power-off');
    // It is no child of its new owner: before Linux 6.15 the kernel tells nobody else how it ended.
    expect([0, 'unknown']).toContain(ending?.exitCode);
  });
});
