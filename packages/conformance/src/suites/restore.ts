import type { ResolvedVmSpec, VmSpec, VmView } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refusal, viewOf, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

const UNKNOWN_UID = '0'.repeat(32);

/** VMs that come from snapshots. */
export function registerRestore(fixture: ProviderFixture): void {
  const { memorySnapshot, diskSnapshot, pause } = fixture.capabilities;
  if (!memorySnapshot && !diskSnapshot) return;
  describe('restore', () => {
    if (memorySnapshot) {
      test('a memory snapshot gives a running VM', () => restoresRunning(fixture));
      if (pause) test('with resumeImmediately: false it gives a paused VM', () => restoresPaused(fixture));
      registerContradictions(fixture);
      registerClones(fixture);
    }
    if (diskSnapshot) test('a disk snapshot gives a created VM, which boots', () => restoresDisks(fixture));
    test('a snapshot that is not there is refused, and no VM made', () => refusesUnknown(fixture));
  });
}

async function restore(fixture: ProviderFixture, extra: VmSpec = {}): Promise<VmView> {
  const { snapshot } = await fixture.golden();
  const runtime = await fixture.open();
  const restoreFrom = { snapshotUid: snapshot.snapshotUid };
  return runtime.createVmWithSpec(fixture.newId(), { restoreFrom, ...extra });
}

async function restoresRunning(fixture: ProviderFixture): Promise<void> {
  const { snapshot } = await fixture.golden();
  const view = await restore(fixture);
  expect(view).toMatchObject({ state: 'running', restoredFrom: snapshot.snapshotUid, snapshots: [] });
  expect(view.instanceId).not.toBe(snapshot.instanceId);
  expect(view.spec).not.toHaveProperty('restoreFrom');
}

async function restoresPaused(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const view = await restore(fixture, { resumeImmediately: false });
  expect(view.state).toBe('paused');
  expect((await runtime.resumeVm(view.vmId)).state).toBe('running');
  if (!fixture.capabilities.guestAgent) return;
  const guest = await runtime.guest(view.vmId);
  expect(await fixture.workload.read(guest)).toBeGreaterThanOrEqual((await fixture.golden()).count);
}

async function restoresDisks(fixture: ProviderFixture): Promise<void> {
  const source = await fixture.arrange('created');
  const runtime = await fixture.open();
  const snapshot = await runtime.snapshotVm(source.vmId, 'taken');
  const { snapshotId, snapshotUid } = snapshot;
  const view = await runtime.createVmWithSpec(fixture.newId(), {
    restoreFrom: { vmId: source.vmId, snapshotId },
  });
  expect(view).toMatchObject({ state: 'created', restoredFrom: snapshotUid });
  expect((await runtime.startVm(view.vmId)).state).toBe('running');
  await runtime.deleteSnapshot({ snapshotUid });
}

async function refusesUnknown(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('created');
  const runtime = await fixture.open();
  const refs = [
    { snapshotUid: UNKNOWN_UID },
    { vmId, snapshotId: 'none' },
    { vmId: fixture.newId(), snapshotId: 'a' },
  ];
  await withoutEffect(runtime, async () => {
    for (const restoreFrom of refs) {
      await refusal('MICROVM_SNAPSHOT_NOT_FOUND', runtime.createVmWithSpec(fixture.newId(), { restoreFrom }));
    }
  });
}

/** The spec that the golden snapshot holds. */
async function capturedSpec(fixture: ProviderFixture): Promise<ResolvedVmSpec> {
  const { vmId, spec } = await restore(fixture);
  await (await fixture.open()).destroyVm(vmId);
  return spec;
}

function registerContradictions(fixture: ProviderFixture): void {
  for (const field of ['memSizeMib', 'vcpuCount', 'kernelPath', 'agent'] as const) {
    test(`a spec that contradicts the snapshot is refused: ${field}`, async () => {
      const spec = await capturedSpec(fixture);
      const runtime = await fixture.open();
      const others = { memSizeMib: spec.memSizeMib + 1, vcpuCount: spec.vcpuCount + 1, kernelPath: '/other' };
      const other = { ...others, agent: spec.agent === 'none' ? 'required' : 'none' } as const;
      const error = await withoutEffect(runtime, () =>
        refusal('MICROVM_INVALID_ARGUMENT', restore(fixture, { [field]: other[field] })),
      );
      expect(error.details.path).toBe(`spec.${field}`);
    });
  }
  test('a spec that agrees with the snapshot is accepted', async () => {
    const spec = await capturedSpec(fixture);
    const { memSizeMib, vcpuCount, agent } = spec;
    const view = await restore(fixture, { memSizeMib, vcpuCount, agent });
    expect(view).toMatchObject({ state: 'running', spec });
  });
  test('what does not describe the snapshot may be chosen anew', async () => {
    const chosen = { labels: { of: 'mine' }, shutdownTimeoutMs: 77, onGuestReboot: 'stop' } as const;
    const spec = await capturedSpec(fixture);
    const view = await restore(fixture, chosen);
    expect(view.spec).toEqual({ ...spec, ...chosen });
  });
}

function registerClones(fixture: ProviderFixture): void {
  const { concurrentRestores, guestAgent } = fixture.capabilities;
  if (concurrentRestores) {
    test(`${fixture.atOnce} VMs restored from one snapshot live at once`, () => livesAtOnce(fixture));
  }
  if (!guestAgent) return;
  test("a restored guest goes on from the snapshot's memory", () => continuesMemory(fixture));
  test('a restored VM can be captured and restored again', () => restoresAgain(fixture));
  test('the VM that was captured lives on beside its clone, each with a memory of its own', () =>
    livesBeside(fixture));
}

async function livesAtOnce(fixture: ProviderFixture): Promise<void> {
  const { count, snapshot } = await fixture.golden();
  const runtime = await fixture.open();
  const views = await Promise.all(Array.from({ length: fixture.atOnce }, () => restore(fixture)));
  expect(new Set(views.map(({ instanceId }) => instanceId)).size).toBe(views.length);
  for (const view of await runtime.listVms()) {
    expect(view).toMatchObject({ state: 'running', restoredFrom: snapshot.snapshotUid });
  }
  if (!fixture.capabilities.guestAgent) return;
  await Promise.all(
    views.map(async ({ vmId }) => {
      const guest = await runtime.guest(vmId);
      const first = await fixture.workload.read(guest);
      expect(first).toBeGreaterThanOrEqual(count);
      await fixture.eventually(async () => expect(await fixture.workload.read(guest)).toBeGreaterThan(first));
    }),
  );
}

async function continuesMemory(fixture: ProviderFixture): Promise<void> {
  const { count } = await fixture.golden();
  const runtime = await fixture.open();
  const guest = await runtime.guest((await restore(fixture)).vmId);
  const first = await fixture.workload.read(guest);
  expect(first).toBeGreaterThanOrEqual(count);
  await fixture.eventually(async () => expect(await fixture.workload.read(guest)).toBeGreaterThan(first));
}

async function restoresAgain(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const parent = await restore(fixture);
  const { count } = await fixture.golden();
  const guest = await runtime.guest(parent.vmId);
  await fixture.eventually(async () => expect(await fixture.workload.read(guest)).toBeGreaterThan(count));
  const before = await fixture.workload.read(guest);
  const { snapshotUid } = await runtime.snapshotVm(parent.vmId, 'second');
  const child = await runtime.createVmWithSpec(fixture.newId(), { restoreFrom: { snapshotUid } });
  expect(child).toMatchObject({ state: 'running', restoredFrom: snapshotUid });
  expect(await fixture.workload.read(await runtime.guest(child.vmId))).toBeGreaterThanOrEqual(before);
  expect((await viewOf(runtime, parent.vmId)).state).toBe('running');
}

async function livesBeside(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const original = await restore(fixture);
  const { snapshotUid } = await runtime.snapshotVm(original.vmId, 'taken');
  const clone = await runtime.createVmWithSpec(fixture.newId(), { restoreFrom: { snapshotUid } });
  await runtime.destroyVm(clone.vmId);
  const guest = await runtime.guest(original.vmId);
  const first = await fixture.workload.read(guest);
  await fixture.eventually(async () => expect(await fixture.workload.read(guest)).toBeGreaterThan(first));
}
