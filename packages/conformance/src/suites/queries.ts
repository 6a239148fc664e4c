import type { VmView } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refusal, viewOf } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

const UNKNOWN_UID = '0'.repeat(32);

/** What is true now. */
export function registerQueries(fixture: ProviderFixture): void {
  describe('queries', () => {
    test('an unknown VM is undefined, not an error', async () => {
      const runtime = await fixture.open();
      const vmId = fixture.newId();
      expect(await runtime.getVm(vmId)).toBeUndefined();
      expect(await runtime.listSnapshots(vmId)).toBeUndefined();
      expect(await runtime.describeSnapshot({ vmId, snapshotId: 'none' })).toBeUndefined();
      expect(await runtime.describeSnapshot({ snapshotUid: UNKNOWN_UID })).toBeUndefined();
      expect(await runtime.listJobs({ vmId })).toEqual([]);
    });
    test('listVms is sorted by id, by code units', () => sortsVms(fixture));
    test('a destroyed VM is a tombstone in the list until it is forgotten', () => keepsTombstones(fixture));
    test('a view shows the operation in progress, and not after it', () => showsOperation(fixture));
    test('a VM that is being created is shown with its operation', () => showsCreation(fixture));
    test('changedAt moves with the state, createdAt never', () => tellsTimes(fixture));
    test('what a caller does to a view does not reach the runtime', () => handsOutCopies(fixture));
    test('a filter with an unknown key is refused', async () => {
      const runtime = await fixture.open();
      await refusal('MICROVM_INVALID_ARGUMENT', runtime.listJobs({ vmid: 'a' } as object));
    });
    test('probe says that the host can run it, and what executes guests', async () => {
      const report = await (await fixture.open()).probe();
      expect(report).toMatchObject({
        usable: true,
        accelerator: expect.stringMatching(/^(kvm|tcg|none)$/) as unknown,
      });
      expect(report.driver).not.toBe('');
      expect(report.findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    });
  });
}

async function sortsVms(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const ids = ['b', 'a', 'B', '_', 'a.b', 'a-b', 'a_b', '10', '9', 'aa'];
  await Promise.all(ids.map((id) => runtime.createVmWithSpec(id, fixture.spec())));
  expect((await runtime.listVms()).map(({ vmId }) => vmId)).toEqual([...ids].sort());
}

async function keepsTombstones(fixture: ProviderFixture): Promise<void> {
  const created = await fixture.arrange('created');
  const runtime = await fixture.open();
  const destroyed = await runtime.destroyVm(created.vmId);
  expect(destroyed).toMatchObject({ state: 'destroyed', instanceId: created.instanceId, spec: created.spec });
  expect(destroyed.vmm).toBeUndefined();
  expect(await runtime.listVms()).toEqual([destroyed]);
  await runtime.forgetVm(created.vmId);
  expect(await runtime.listVms()).toEqual([]);
}

async function showsOperation(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const hold = fixture.gates.hold('stopVm:intent');
  const stop = runtime.stopVm(vmId);
  await hold.reached;
  const during = await viewOf(runtime, vmId);
  const job = (await runtime.listJobs({ vmId })).find(({ kind }) => kind === 'stopVm');
  expect(during.state).toBe('running');
  expect(during.operation).toEqual({ jobId: job?.jobId, kind: 'stopVm', startedAt: job?.startedAt });
  expect(await runtime.listVms()).toEqual([during]);
  hold.release();
  expect((await stop).operation).toBeUndefined();
  expect((await viewOf(runtime, vmId)).operation).toBeUndefined();
}

async function showsCreation(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  const hold = fixture.gates.hold('createVm:intent');
  const creation = runtime.createVmWithSpec(vmId, fixture.spec());
  await hold.reached;
  expect(await viewOf(runtime, vmId)).toMatchObject({ operation: { kind: 'createVm' } });
  hold.release();
  expect(await viewOf(runtime, (await creation).vmId)).not.toHaveProperty('operation');
}

async function tellsTimes(fixture: ProviderFixture): Promise<void> {
  const created = await fixture.arrange('created');
  const runtime = await fixture.open();
  const start = Date.parse(created.createdAt);
  expect(new Date(start).toISOString()).toBe(created.createdAt);
  expect(Date.parse(created.changedAt)).toBeGreaterThanOrEqual(start);
  await fixture.eventually(() => expect(Date.now()).toBeGreaterThan(Date.parse(created.changedAt)));
  const destroyed = await runtime.destroyVm(created.vmId);
  expect(destroyed.createdAt).toBe(created.createdAt);
  expect(Date.parse(destroyed.changedAt)).toBeGreaterThan(Date.parse(created.changedAt));
}

async function handsOutCopies(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('created', { labels: { kept: 'yes' } });
  const runtime = await fixture.open();
  const before = structuredClone(await viewOf(runtime, vmId));
  const view = (await viewOf(runtime, vmId)) as { -readonly [K in keyof VmView]: VmView[K] };
  const changes = [
    (): unknown => (view.state = 'crashed'),
    (): unknown => (view.spec.labels = { kept: 'no' }),
    (): unknown => (view.snapshots as unknown[]).push('odd'),
    (): unknown => ((view.spec.labels as Record<string, string>)['kept'] = 'no'),
  ];
  for (const change of changes) {
    try {
      change();
    } catch (error) {
      expect(error, 'a frozen view is as good').toBeInstanceOf(TypeError);
    }
  }
  expect(await viewOf(runtime, vmId)).toEqual(before);
}
