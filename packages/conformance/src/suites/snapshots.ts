import type { SnapshotView, VmRuntime, VmState } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refusal, stateOf, viewOf, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { canSnapshot } from '../support.js';

const UNKNOWN_UID = '0'.repeat(32);

/** Taking, naming, keeping and deleting snapshots. */
export function registerSnapshots(fixture: ProviderFixture): void {
  const { memorySnapshot, diskSnapshot } = fixture.capabilities;
  if (!memorySnapshot && !diskSnapshot) return;
  describe('snapshots', () => {
    registerTaking(fixture);
    registerKeeping(fixture);
    if (memorySnapshot) registerUse(fixture);
  });
}

/** A state in which the provider can take snapshots, the cheapest one. */
function snapshotState(fixture: ProviderFixture): VmState {
  return fixture.capabilities.diskSnapshot ? 'created' : 'running';
}

function registerTaking(fixture: ProviderFixture): void {
  for (const state of ['created', 'running', 'paused', 'stopped', 'crashed'] as const) {
    if (!fixture.canArrange(state) || !canSnapshot(fixture.capabilities, state)) continue;
    test(`a snapshot of a VM that is ${state} says what it holds`, () => describesSnapshot(fixture, state));
  }
  test('snapshots are listed in the order they were taken, in the view too', () => listsInOrder(fixture));
  test('a name that the VM has given is refused, and the snapshot of that name stays', () =>
    refusesName(fixture));
  test('two VMs may give the same name', () => sharesNames(fixture));
  if (fixture.capabilities.memorySnapshot) {
    test('the guest goes on after a snapshot', () => goesOn(fixture));
    test('a VMM that dies during a snapshot leaves a crashed VM and no snapshot', () =>
      diesMeanwhile(fixture));
  }
}

async function describesSnapshot(fixture: ProviderFixture, state: VmState): Promise<void> {
  const { vmId, instanceId } = await fixture.arrange(state);
  const runtime = await fixture.open();
  const snapshot = await runtime.snapshotVm(vmId, 'taken');
  const isLive = state === 'running' || state === 'paused';
  expect(snapshot).toMatchObject({ snapshotId: 'taken', instanceId, kind: isLive ? 'memory' : 'disk' });
  expect(snapshot.snapshotUid).toMatch(/^[0-9a-f]{32}$/);
  expect(snapshot.diskCopy).toMatch(/^(reflink|copy|none)$/);
  expect(Number.isInteger(snapshot.sizeBytes) && snapshot.sizeBytes >= 0).toBe(true);
  if (state === 'running') expect(snapshot.pausedMs).toBeGreaterThanOrEqual(0);
  else expect(snapshot.pausedMs).toBe(0);
  for (const ref of [{ vmId, snapshotId: 'taken' }, { snapshotUid: snapshot.snapshotUid }]) {
    expect(await runtime.describeSnapshot(ref)).toEqual(snapshot);
    expect(await runtime.verifySnapshot(ref)).toEqual(snapshot);
  }
}

async function take(runtime: VmRuntime, vmId: string, ids: readonly string[]): Promise<SnapshotView[]> {
  const taken: SnapshotView[] = [];
  for (const id of ids) taken.push(await runtime.snapshotVm(vmId, id));
  return taken;
}

async function listsInOrder(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange(snapshotState(fixture));
  const runtime = await fixture.open();
  const taken = await take(runtime, vmId, ['zebra', 'ant', 'Bee']);
  expect(await runtime.listSnapshots(vmId)).toEqual(taken);
  expect((await viewOf(runtime, vmId)).snapshots).toEqual(taken);
}

async function refusesName(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange(snapshotState(fixture));
  const runtime = await fixture.open();
  const [first] = await take(runtime, vmId, ['taken']);
  const error = await withoutEffect(runtime, () =>
    refusal('MICROVM_SNAPSHOT_ALREADY_EXISTS', runtime.snapshotVm(vmId, 'taken')),
  );
  expect(error.details).toEqual({ vmId, snapshotId: 'taken' });
  expect(await runtime.verifySnapshot({ vmId, snapshotId: 'taken' })).toEqual(first);
}

async function sharesNames(fixture: ProviderFixture): Promise<void> {
  const state = snapshotState(fixture);
  const [one, other] = [await fixture.arrange(state), await fixture.arrange(state)];
  const runtime = await fixture.open();
  const [mine] = await take(runtime, one.vmId, ['same']);
  const [theirs] = await take(runtime, other.vmId, ['same']);
  expect(mine?.snapshotUid).not.toBe(theirs?.snapshotUid);
  expect(await runtime.describeSnapshot({ vmId: other.vmId, snapshotId: 'same' })).toEqual(theirs);
}

async function goesOn(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  await take(runtime, vmId, ['first', 'second']);
  expect(await stateOf(runtime, vmId)).toBe('running');
  if (!fixture.capabilities.guestAgent) return;
  const guest = await runtime.guest(vmId);
  const before = await fixture.workload.read(guest);
  await fixture.eventually(async () => expect(await fixture.workload.read(guest)).toBeGreaterThan(before));
}

async function diesMeanwhile(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  fixture.gates.once('snapshotVm:intent', () => fixture.factory.endGuest(runtime, vmId, 'kill-vmm'));
  await refusal('MICROVM_VMM_EXITED', runtime.snapshotVm(vmId, 'taken'));
  await fixture.untilState(runtime, vmId, 'crashed');
  expect(await runtime.listSnapshots(vmId)).toEqual([]);
}

function registerKeeping(fixture: ProviderFixture): void {
  test('snapshots outlive their VM: by its tombstone, and by uid when that is forgotten', () =>
    outlivesVm(fixture));
  test("a name resolves through the id's current VM only", () => resolvesCurrent(fixture));
  test('a snapshot that was deleted is gone, by name and by uid', () => deletes(fixture));
  test('deleteSnapshot and verifySnapshot of an unknown snapshot are refused', async () => {
    const { vmId } = await fixture.arrange('created');
    const runtime = await fixture.open();
    const refs = [
      { vmId, snapshotId: 'none' },
      { vmId: fixture.newId(), snapshotId: 'a' },
      { snapshotUid: UNKNOWN_UID },
    ];
    for (const ref of refs) {
      await refusal('MICROVM_SNAPSHOT_NOT_FOUND', runtime.deleteSnapshot(ref));
      await refusal('MICROVM_SNAPSHOT_NOT_FOUND', runtime.verifySnapshot(ref));
    }
  });
}

async function outlivesVm(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange(snapshotState(fixture));
  const runtime = await fixture.open();
  const [snapshot] = await take(runtime, vmId, ['taken']);
  const snapshotUid = snapshot?.snapshotUid ?? '';
  await runtime.destroyVm(vmId);
  expect(await runtime.listSnapshots(vmId)).toEqual([snapshot]);
  expect(await runtime.listSnapshots(), 'without an id: those of every VM').toContainEqual(snapshot);
  expect(await runtime.describeSnapshot({ vmId, snapshotId: 'taken' })).toEqual(snapshot);
  await runtime.forgetVm(vmId);
  expect(await runtime.listSnapshots(), 'nothing else leads to it now').toContainEqual(snapshot);
  expect(await runtime.describeSnapshot({ vmId, snapshotId: 'taken' })).toBeUndefined();
  expect(await runtime.describeSnapshot({ snapshotUid })).toEqual(snapshot);
  expect(await runtime.verifySnapshot({ snapshotUid })).toEqual(snapshot);
  await runtime.deleteSnapshot({ snapshotUid });
  expect(await runtime.listSnapshots()).not.toContainEqual(snapshot);
  expect(await runtime.describeSnapshot({ snapshotUid })).toBeUndefined();
}

async function resolvesCurrent(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange(snapshotState(fixture));
  const runtime = await fixture.open();
  const [snapshot] = await take(runtime, vmId, ['taken']);
  await runtime.destroyVm(vmId);
  await runtime.createVmWithSpec(vmId, fixture.spec());
  expect(await runtime.listSnapshots(vmId)).toEqual([]);
  expect(await runtime.describeSnapshot({ vmId, snapshotId: 'taken' })).toBeUndefined();
  expect(await runtime.describeSnapshot({ snapshotUid: snapshot?.snapshotUid ?? '' })).toEqual(snapshot);
  await runtime.deleteSnapshot({ snapshotUid: snapshot?.snapshotUid ?? '' });
}

async function deletes(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange(snapshotState(fixture));
  const runtime = await fixture.open();
  const taken = await take(runtime, vmId, ['a', 'b', 'c']);
  await runtime.deleteSnapshot({ vmId, snapshotId: 'b' });
  await runtime.deleteSnapshot({ snapshotUid: taken[2]?.snapshotUid ?? '' });
  expect(await runtime.listSnapshots(vmId)).toEqual([taken[0]]);
  expect(await runtime.describeSnapshot({ vmId, snapshotId: 'b' })).toBeUndefined();
  const [again] = await take(runtime, vmId, ['b']);
  expect(again?.snapshotUid, 'the name is free').not.toBe(taken[1]?.snapshotUid);
}

function registerUse(fixture: ProviderFixture): void {
  test('a snapshot cannot be deleted while a VM restored from it lives', async () => {
    const runtime = await fixture.open();
    const source = await fixture.arrange('running');
    const { snapshotUid } = await runtime.snapshotVm(source.vmId, 'taken');
    const restored = await runtime.createVmWithSpec(fixture.newId(), { restoreFrom: { snapshotUid } });
    const error = await withoutEffect(runtime, () =>
      refusal('MICROVM_SNAPSHOT_IN_USE', runtime.deleteSnapshot({ snapshotUid })),
    );
    expect(error.details).toEqual({ snapshotUid, users: [restored.vmId] });
    await runtime.destroyVm(source.vmId);
    await refusal('MICROVM_SNAPSHOT_IN_USE', runtime.deleteSnapshot({ snapshotUid }));
    await runtime.stopVm(restored.vmId);
    await runtime.deleteSnapshot({ snapshotUid });
    expect(await runtime.describeSnapshot({ snapshotUid })).toBeUndefined();
  });
}
