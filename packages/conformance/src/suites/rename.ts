import type { Guest } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refusal, stateOf, viewOf, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

/** New ids for VMs, and VMs for used ids. */
export function registerRename(fixture: ProviderFixture): void {
  describe('names', () => {
    if (fixture.capabilities.rename) registerRenaming(fixture);
    test("a destroyed VM's id is free: the new VM is another instance and replaces the tombstone", () =>
      reusesId(fixture));
    test('a create that fails leaves the tombstone of the id', () => keepsTombstone(fixture));
    test('no instanceId is ever used again', () => neverReusesInstances(fixture));
  });
}

function registerRenaming(fixture: ProviderFixture): void {
  test('a live VM is renamed: all of it but the id stays, and the guest runs on', () => renamesLive(fixture));
  if (fixture.capabilities.guestAgent) {
    test('errors of a guest that was opened before name the VM as it is called now', () =>
      namesInErrors(fixture));
  }
  test('onto itself has no effect', () => renamesOntoItself(fixture));
  test('onto an id in use is refused, and both VMs left alone', () => refusesTaken(fixture));
  test("onto a destroyed VM's id takes the tombstone's place", () => takesTombstone(fixture));
  test('two VMs swap ids through a third one', () => swaps(fixture));
  test('snapshots follow the VM to its new id', () => carriesSnapshots(fixture));
  if (fixture.isDurable) test('a new id survives a restart', () => survivesRestart(fixture));
}

async function renamesLive(fixture: ProviderFixture): Promise<void> {
  const before = await fixture.arrange('running');
  const runtime = await fixture.open();
  const guest = fixture.capabilities.guestAgent ? await runtime.guest(before.vmId) : undefined;
  const count = guest === undefined ? 0 : await fixture.workload.read(guest);
  const after = await runtime.renameVm(before.vmId, 'tenant');
  expect(after).toEqual({ ...before, vmId: 'tenant' });
  expect(await runtime.listVms()).toEqual([after]);
  if (guest === undefined) return;
  const again = await runtime.guest('tenant');
  await fixture.eventually(async () => expect(await fixture.workload.read(again)).toBeGreaterThan(count));
  expect((await guest.ping()).epoch, 'the handle from before works').toBe((await again.ping()).epoch);
}

async function namesInErrors(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const guest = await runtime.guest(vmId);
  await runtime.renameVm(vmId, 'tenant');
  await runtime.stopVm('tenant');
  await expectNamed(guest, 'tenant');
  await runtime.renameVm('tenant', 'another');
  await expectNamed(guest, 'another');
}

async function expectNamed(guest: Guest, vmId: string): Promise<void> {
  for (const call of [() => guest.ping(), () => guest.exec({ argv: ['true'] }).result]) {
    const { details } = await refusal('MICROVM_GUEST_UNREACHABLE', call());
    expect(details.vmId).toBe(vmId);
  }
}

async function renamesOntoItself(fixture: ProviderFixture): Promise<void> {
  const view = await fixture.arrange('created');
  const runtime = await fixture.open();
  const answer = await withoutEffect(runtime, () => runtime.renameVm(view.vmId, view.vmId));
  expect(answer).toEqual(view);
}

async function refusesTaken(fixture: ProviderFixture): Promise<void> {
  const [one, other] = [await fixture.arrange('created'), await fixture.arrange('running')];
  const runtime = await fixture.open();
  const error = await withoutEffect(runtime, () =>
    refusal('MICROVM_VM_ALREADY_EXISTS', runtime.renameVm(one.vmId, other.vmId)),
  );
  expect(error.details).toEqual({ vmId: other.vmId });
}

async function takesTombstone(fixture: ProviderFixture): Promise<void> {
  const [view, gone] = [await fixture.arrange('created'), await fixture.arrange('destroyed')];
  const runtime = await fixture.open();
  const after = await runtime.renameVm(view.vmId, gone.vmId);
  expect(after).toEqual({ ...view, vmId: gone.vmId });
  expect(await runtime.listVms()).toEqual([after]);
}

async function swaps(fixture: ProviderFixture): Promise<void> {
  const [one, other] = [await fixture.arrange('created'), await fixture.arrange('created')];
  const runtime = await fixture.open();
  const third = fixture.newId();
  await runtime.renameVm(one.vmId, third);
  await runtime.renameVm(other.vmId, one.vmId);
  await runtime.renameVm(third, other.vmId);
  expect(await viewOf(runtime, one.vmId)).toEqual({ ...other, vmId: one.vmId });
  expect(await viewOf(runtime, other.vmId)).toEqual({ ...one, vmId: other.vmId });
  expect(await stateOf(runtime, third)).toBe('unknown');
}

async function carriesSnapshots(fixture: ProviderFixture): Promise<void> {
  const { diskSnapshot, memorySnapshot } = fixture.capabilities;
  if (!diskSnapshot && !memorySnapshot) return;
  const { vmId } = await fixture.arrange(diskSnapshot ? 'created' : 'running');
  const runtime = await fixture.open();
  const snapshot = await runtime.snapshotVm(vmId, 'taken');
  const after = await runtime.renameVm(vmId, 'tenant');
  expect(after.snapshots).toEqual([snapshot]);
  expect(await runtime.listSnapshots('tenant')).toEqual([snapshot]);
  expect(await runtime.describeSnapshot({ vmId: 'tenant', snapshotId: 'taken' })).toEqual(snapshot);
  expect(await runtime.describeSnapshot({ vmId, snapshotId: 'taken' })).toBeUndefined();
}

async function survivesRestart(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('created');
  const before = await (await fixture.open()).renameVm(vmId, 'tenant');
  const runtime = await fixture.reopen();
  expect(await runtime.listVms()).toEqual([before]);
}

async function reusesId(fixture: ProviderFixture): Promise<void> {
  const old = await fixture.arrange('destroyed');
  const runtime = await fixture.open();
  const view = await runtime.createVmWithSpec(old.vmId, fixture.spec());
  expect(view).toMatchObject({ vmId: old.vmId, state: 'created', snapshots: [] });
  expect(view.instanceId).not.toBe(old.instanceId);
  expect(await runtime.listVms()).toEqual([view]);
}

async function keepsTombstone(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('destroyed');
  const runtime = await fixture.open();
  const abort = new AbortController();
  fixture.gates.once('createVm:intent', () => abort.abort('enough'));
  await withoutEffect(runtime, () =>
    expect(runtime.createVmWithSpec(vmId, fixture.spec(), { signal: abort.signal })).rejects.toBe('enough'),
  );
}

async function neverReusesInstances(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  const seen = new Set<string>();
  for (let life = 0; life < 3; life += 1) {
    seen.add((await runtime.createVmWithSpec(vmId, fixture.spec())).instanceId);
    await runtime.destroyVm(vmId);
    await runtime.forgetVm(vmId);
  }
  expect(seen.size).toBe(3);
}
