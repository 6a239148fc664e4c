import { copyFile, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SnapshotView } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refusal, viewOf, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { contentsOf, processesUsing } from '../footprint.js';

type Damage = (path: string) => Promise<void>;

async function flipByte(path: string): Promise<void> {
  const data = await readFile(path);
  const last = data.length - 1;
  data[last] = (data[last] ?? 0) ^ 0xff;
  await writeFile(path, data);
}

const DAMAGES: readonly (readonly [title: string, damage: Damage])[] = [
  ['one byte differs', flipByte],
  ['the end is missing', async (path) => truncate(path, (await stat(path)).size - 1)],
  ['the file is missing', (path) => rm(path)],
];

/** Files of the state directory that were damaged; design: `<stateDir>/vms`, `snapshots`. */
export function registerCorruption(fixture: ProviderFixture): void {
  if (!fixture.isDurable) return;
  describe('damaged files', () => {
    for (const [title, damage] of DAMAGES) {
      test(`a damaged snapshot is noticed by verifySnapshot: ${title}`, () =>
        noticesByVerify(fixture, damage));
      test(`a damaged snapshot is not restored, nothing is started: ${title}`, () =>
        refusesRestore(fixture, damage));
    }
    test('a damaged manifest is reported on open, and the snapshot can be deleted', () =>
      reportsManifest(fixture));
    test("another driver's snapshot is refused as incompatible, and no VM made", () =>
      refusesForeign(fixture));
    for (const [title, text] of [
      ['no JSON', '{'],
      ['another content', '{"format":1}'],
      ['nothing', ''],
    ] as const) {
      test(`a damaged VM record is refused on open, and nothing is changed: ${title}`, () =>
        refusesRecord(fixture, text));
    }
  });
}

/** Takes a snapshot in the shared runtime; answers it with the paths of its parts. */
async function takeSnapshot(fixture: ProviderFixture): Promise<{ snapshot: SnapshotView; parts: string[] }> {
  const { memorySnapshot } = fixture.capabilities;
  const { vmId } = await fixture.arrange(memorySnapshot ? 'running' : 'created');
  const snapshot = await (await fixture.open()).snapshotVm(vmId, 'taken');
  const folder = join(fixture.stateDir, 'snapshots', snapshot.snapshotUid);
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const parts = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const data = parts.filter((path) => !/(manifest|verified)\.json$/.test(path));
  const sizes = await Promise.all(data.map(async (path) => (await stat(path)).size));
  return { snapshot, parts: data.filter((_path, index) => (sizes[index] ?? 0) > 0) };
}

async function noticesByVerify(fixture: ProviderFixture, damage: Damage): Promise<void> {
  const { snapshot, parts } = await takeSnapshot(fixture);
  const runtime = await fixture.open();
  const { snapshotUid } = snapshot;
  expect(parts).not.toEqual([]);
  for (const path of parts) {
    const copy = join(fixture.stateDir, 'copy-of-part');
    await copyFile(path, copy);
    await damage(path);
    const error = await refusal('MICROVM_SNAPSHOT_CORRUPT', runtime.verifySnapshot({ snapshotUid }));
    expect(error.details.snapshotUid).toBe(snapshotUid);
    expect(path.endsWith(error.details.part), `it names the part: ${error.details.part}`).toBe(true);
    await copyFile(copy, path);
    await rm(copy);
  }
  expect(await runtime.verifySnapshot({ snapshotUid })).toEqual(snapshot);
}

async function refusesRestore(fixture: ProviderFixture, damage: Damage): Promise<void> {
  const { snapshot, parts } = await takeSnapshot(fixture);
  const runtime = await fixture.open();
  const { snapshotUid } = snapshot;
  for (const path of parts) await damage(path);
  const processes = await processesUsing(fixture.stateDir);
  const steps = fixture.gates.record();
  await withoutEffect(runtime, () =>
    refusal(
      'MICROVM_SNAPSHOT_CORRUPT',
      runtime.createVmWithSpec(fixture.newId(), { restoreFrom: { snapshotUid } }),
    ),
  );
  expect(steps, 'it did not begin').toEqual([]);
  expect(await processesUsing(fixture.stateDir)).toEqual(processes);
}

async function reportsManifest(fixture: ProviderFixture): Promise<void> {
  const { snapshot } = await takeSnapshot(fixture);
  const { snapshotUid } = snapshot;
  const stateDir = await fixture.close();
  await writeFile(join(stateDir, 'snapshots', snapshotUid, 'manifest.json'), '{ damaged');
  const runtime = await fixture.open();
  expect(runtime.recovery.corruptSnapshots.map((one) => one.snapshotUid)).toEqual([snapshotUid]);
  await refusal('MICROVM_SNAPSHOT_CORRUPT', runtime.verifySnapshot({ snapshotUid }));
  await refusal(
    'MICROVM_SNAPSHOT_CORRUPT',
    runtime.createVmWithSpec(fixture.newId(), { restoreFrom: { snapshotUid } }),
  );
  await runtime.deleteSnapshot({ snapshotUid });
  expect((await fixture.reopen()).recovery.corruptSnapshots).toEqual([]);
}

async function refusesForeign(fixture: ProviderFixture): Promise<void> {
  const { snapshotUid } = (await takeSnapshot(fixture)).snapshot;
  const stateDir = await fixture.close();
  const path = join(stateDir, 'snapshots', snapshotUid, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8')) as object;
  await writeFile(path, JSON.stringify({ ...manifest, driver: 'another' }));
  const runtime = await fixture.open();
  expect((await runtime.describeSnapshot({ snapshotUid }))?.driver).toBe('another');
  const restore = { restoreFrom: { snapshotUid } };
  const error = await withoutEffect(runtime, () =>
    refusal('MICROVM_SNAPSHOT_INCOMPATIBLE', runtime.createVmWithSpec(fixture.newId(), restore)),
  );
  expect(error.details.snapshotUid).toBe(snapshotUid);
}

async function refusesRecord(fixture: ProviderFixture, text: string): Promise<void> {
  const view = await fixture.arrange('created');
  const other = await fixture.arrange('stopped');
  const stateDir = await fixture.close();
  const path = join(stateDir, 'vms', view.instanceId, 'vm.json');
  const good = await readFile(path);
  await writeFile(path, text);
  const before = await contentsOf(stateDir);
  const error = await refusal('MICROVM_STATE_CORRUPT', fixture.openAgain(stateDir));
  expect(error.details.path).toBe(path);
  expect(error.remedy).not.toBe('');
  const after = await contentsOf(stateDir);
  for (const contents of [before, after]) contents.delete('lock');
  expect(after).toEqual(before);
  await writeFile(path, good);
  const runtime = await fixture.open();
  expect(await viewOf(runtime, view.vmId)).toEqual(view);
  expect(await viewOf(runtime, other.vmId)).toEqual(other);
}
