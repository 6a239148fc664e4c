import { isLive, type VmState, type VmView } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refusal, viewOf } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { processesUsing } from '../footprint.js';

/** A state directory that is closed and opened again, as after a restart of the process. */
export function registerDurability(fixture: ProviderFixture): void {
  if (!fixture.isDurable) return;
  describe('restarts', () => {
    for (const state of ['created', 'stopped', 'crashed', 'destroyed'] as const) {
      test(`a VM that is ${state} is the same after a restart`, () => keeps(fixture, state));
    }
    for (const state of ['running', 'paused'] as const) {
      if (!fixture.canArrange(state)) continue;
      if (fixture.capabilities.adoption) {
        test(`a VM that is ${state} lives through a restart`, () => adopts(fixture, state));
      } else {
        test(`a VM that is ${state} has crashed after a restart, and says so`, () => loses(fixture, state));
      }
    }
    if (fixture.capabilities.adoption) {
      test('an adopted VM whose VMM dies is seen as crashed', () => watchesAdopted(fixture));
    }
    test('a new directory has nothing to recover', async () => {
      const { recovery } = await fixture.fresh();
      expect(recovery).toEqual({
        adopted: [],
        ended: [],
        interrupted: [],
        swept: [],
        notSwept: [],
        corruptSnapshots: [],
      });
    });
    test('snapshots are the same after a restart, and can be restored', () => keepsSnapshots(fixture));
    test('the history of jobs survives a restart', () => keepsJobs(fixture));
    test("with onOwnerDeath: 'destroy' a VM does not outlive the runtime", () => destroysOwned(fixture));
  });
}

async function keeps(fixture: ProviderFixture, state: VmState): Promise<void> {
  const before = await fixture.arrange(state, { labels: { kept: 'yes' } });
  const runtime = await fixture.reopen();
  expect(await runtime.listVms()).toEqual([before]);
  expect(runtime.recovery).toMatchObject({ adopted: [], ended: [], interrupted: [] });
}

async function adopts(fixture: ProviderFixture, state: VmState): Promise<void> {
  const before = await fixture.arrange(state);
  const { vmId, instanceId } = before;
  const runtime = await fixture.reopen();
  expect(await runtime.listVms()).toEqual([before]);
  expect(runtime.recovery).toMatchObject({
    adopted: [{ vmId, instanceId, state }],
    ended: [],
    interrupted: [],
  });
  if (state === 'paused') await runtime.resumeVm(vmId);
  if (fixture.capabilities.guestAgent) {
    const { count } = await fixture.golden();
    const guest = await runtime.guest(vmId);
    await fixture.eventually(async () => expect(await fixture.workload.read(guest)).toBeGreaterThan(count));
  }
  expect((await runtime.stopVm(vmId)).state).toBe('stopped');
}

async function loses(fixture: ProviderFixture, state: VmState): Promise<void> {
  const { vmId, instanceId } = await fixture.arrange(state);
  const runtime = await fixture.reopen();
  expect(await viewOf(runtime, vmId)).toMatchObject({
    instanceId,
    state: 'crashed',
    ending: { reason: 'lost' },
  });
  expect(runtime.recovery).toMatchObject({ adopted: [], ended: [{ vmId, instanceId, state: 'crashed' }] });
  expect((await runtime.startVm(vmId)).state).toBe('running');
}

async function watchesAdopted(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.reopen();
  await fixture.factory.endGuest(runtime, vmId, 'kill-vmm');
  expect((await fixture.untilState(runtime, vmId, 'crashed')).ending?.reason).toBe('vmm-exit');
}

async function keepsSnapshots(fixture: ProviderFixture): Promise<void> {
  const { diskSnapshot, memorySnapshot } = fixture.capabilities;
  if (!diskSnapshot && !memorySnapshot) return;
  const { vmId } = await fixture.arrange(diskSnapshot ? 'created' : 'running');
  let runtime = await fixture.open();
  for (const id of ['b', 'a', 'c']) await runtime.snapshotVm(vmId, id);
  const before = await runtime.listSnapshots(vmId);
  runtime = await fixture.reopen();
  expect(await runtime.listSnapshots(vmId)).toEqual(before);
  const view = await runtime.createVmWithSpec(fixture.newId(), { restoreFrom: { vmId, snapshotId: 'a' } });
  expect(view.state).toBe(diskSnapshot ? 'created' : 'running');
}

async function keepsJobs(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('created');
  let runtime = await fixture.open();
  await refusal('MICROVM_INVALID_TRANSITION', runtime.stopVm(vmId));
  const before = (await runtime.listJobs({ vmId })).filter(({ status }) => status === 'succeeded');
  expect(before).not.toEqual([]);
  runtime = await fixture.reopen();
  expect((await runtime.listJobs({ vmId })).filter(({ status }) => status === 'succeeded')).toEqual(before);
}

async function destroysOwned(fixture: ProviderFixture): Promise<void> {
  const spec = { onOwnerDeath: 'destroy' } as const;
  const doomed: VmView[] = [await fixture.arrange('running', spec), await fixture.arrange('created', spec)];
  const kept = await fixture.arrange('created', { onOwnerDeath: 'keep' });
  await fixture.close();
  // A VM that was only made may have a VMM, which waits for its start.
  const waiting = kept.vmm === undefined ? [] : [kept.vmm.pid];
  expect(await processesUsing(fixture.stateDir), 'no other VMM lives on').toEqual(waiting);
  const runtime = await fixture.open();
  for (const { vmId } of doomed) expect((await runtime.getVm(vmId))?.state ?? 'destroyed').toBe('destroyed');
  expect(await viewOf(runtime, kept.vmId)).toEqual(kept);
  expect((await runtime.listVms()).filter(({ state }) => isLive(state))).toEqual([]);
}
