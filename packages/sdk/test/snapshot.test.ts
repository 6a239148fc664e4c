import { expect, it } from 'vitest';
import { memoryMicrovm } from './in-memory.js';

it('restores a snapshot into several VMs at once, while the first one lives', async () => {
  const { microvm } = await memoryMicrovm();
  const vm = await microvm.create({ memSizeMib: 64 });
  const snapshot = await vm.snapshot('warm');
  expect(snapshot.name).toBe('warm');
  const clones = await Promise.all([snapshot.restore(), snapshot.restore(), snapshot.restore({ vmId: 'c' })]);
  expect(new Set([vm, ...clones].map(({ vmId }) => vmId)).size).toBe(4);
  for (const clone of clones) {
    expect(await clone.view()).toMatchObject({ state: 'running', restoredFrom: snapshot.uid });
  }
  expect((await vm.view()).state).toBe('running');
});

it('restores into a paused VM when asked', async () => {
  const { microvm } = await memoryMicrovm();
  const snapshot = await (await microvm.create()).snapshot();
  const clone = await snapshot.restore({ resumeImmediately: false });
  expect((await clone.view()).state).toBe('paused');
});

it('boots a VM that is restored from disks only, unless told not to', async () => {
  const { microvm } = await memoryMicrovm();
  const vm = await microvm.create({ start: false });
  const snapshot = await vm.snapshot();
  expect(snapshot.view.kind).toBe('disk');
  expect((await (await snapshot.restore()).view()).state).toBe('running');
  expect((await (await snapshot.restore({ start: false })).view()).state).toBe('created');
});

it('refuses a field that contradicts the snapshot', async () => {
  const { microvm } = await memoryMicrovm();
  const snapshot = await (await microvm.create({ memSizeMib: 64 })).snapshot();
  await expect(snapshot.restore({ memSizeMib: 256 })).rejects.toMatchObject({ code: /^MICROVM_/ });
  expect(await microvm.list()).toHaveLength(1);
});

it('names a snapshot by itself, outlives its VM, and is found by uid', async () => {
  const { microvm } = await memoryMicrovm();
  const vm = await microvm.create();
  const { uid, name } = await vm.snapshot();
  expect(name).toMatch(/^snapshot-[0-9a-f]{16}$/);
  expect((await vm.snapshots()).map((snapshot) => snapshot.uid)).toEqual([uid]);
  await vm.destroy();
  expect((await microvm.snapshots()).map((snapshot) => snapshot.uid)).toEqual([uid]);
  const found = await microvm.snapshot({ snapshotUid: uid });
  expect(found?.name).toBe(name);
  expect((await (await found?.restore())?.view())?.state).toBe('running');
});

it('verifies and deletes', async () => {
  const { microvm } = await memoryMicrovm();
  const snapshot = await (await microvm.create()).snapshot();
  await snapshot.verify();
  await snapshot.delete();
  expect(await microvm.snapshot({ snapshotUid: snapshot.uid })).toBeUndefined();
  expect(await microvm.snapshots()).toEqual([]);
  await expect(snapshot.verify()).rejects.toMatchObject({ code: 'MICROVM_SNAPSHOT_NOT_FOUND' });
  await expect(snapshot.restore()).rejects.toMatchObject({ code: 'MICROVM_SNAPSHOT_NOT_FOUND' });
});
