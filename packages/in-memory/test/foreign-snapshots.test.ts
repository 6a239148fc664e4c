import { cp, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VmRuntime } from '@microvm/runtime';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createInMemoryRuntime } from '../src/index.js';

let folder: string;
let stateDir: string;
let snapshotUid: string;
const opened: VmRuntime[] = [];

async function open(): Promise<VmRuntime> {
  const runtime = await createInMemoryRuntime({ stateDir });
  opened.push(runtime);
  return runtime;
}

/** A snapshot that lies in the folder of another host's runtime. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'microvm-foreign-'));
  stateDir = join(folder, 'state');
  const runtime = await open();
  await runtime.createVmWithSpec('vm', { labels: { team: 'a' }, limits: { cpuCores: 1 }, jail: false });
  await runtime.startVm('vm');
  ({ snapshotUid } = await runtime.snapshotVm('vm', 'warm'));
  await runtime.close();
});

afterEach(async () => {
  for (const runtime of opened.splice(0)) await runtime.close();
  await rm(folder, { recursive: true, force: true });
});

const pathOf = (...names: string[]): string => join(stateDir, 'snapshots', snapshotUid, ...names);

type Json = Record<string, unknown>;

async function changeManifest(change: (manifest: Json) => unknown): Promise<void> {
  const path = pathOf('manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8')) as Json;
  await writeFile(path, JSON.stringify(change(manifest)));
}

const withSpec =
  (fields: object) =>
  (manifest: Json): Json => ({ ...manifest, spec: { ...(manifest['spec'] as Json), ...fields } });
const withPart =
  (fields: object) =>
  (manifest: Json): Json => {
    const [first, ...rest] = manifest['parts'] as Json[];
    return { ...manifest, parts: [{ ...first, ...fields }, ...rest] };
  };

const REFUSED: Readonly<Record<string, (manifest: Json) => unknown>> = {
  'a part that is null': (manifest) => ({ ...manifest, parts: [null] }),
  'a part outside its folder': withPart({ name: '../../vms/x' }),
  'a part in a folder of it': withPart({ name: 'a/b' }),
  'a part by the name of no file': withPart({ name: '.' }),
  'a part of a size that no file has': withPart({ sizeBytes: 2 ** 62 }),
  'a part without a digest': withPart({ digest: '' }),
  'two parts by one name': (manifest) => {
    const [first] = manifest['parts'] as Json[];
    return { ...manifest, parts: [first, first] };
  },
  'a jail': withSpec({ jail: false }),
  limits: withSpec({ limits: { cpuCores: 64 } }),
  'a file of the host': withSpec({ kernelPath: '/etc/shadow' }),
  'a drive by its path': withSpec({ rootDrive: { path: '/etc/shadow', mode: 'shared' } }),
  'a network namespace of the host': withSpec({
    networkInterfaces: [{ ifaceId: 'eth0', hostDevName: 'tap0', netnsPath: '/proc/1/ns/net' }],
  }),
  'a policy for the death of the owner': withSpec({ onOwnerDeath: 'destroy' }),
  'an unknown field': (manifest) => ({ ...manifest, user: 0 }),
  'a name of another form': (manifest) => ({ ...manifest, snapshotId: '../x' }),
  'a time that is none': (manifest) => ({ ...manifest, createdAt: 'x'.repeat(100) }),
  'an array': () => [],
  'a format to come': (manifest) => ({ ...manifest, format: 1000 }),
  'more than a manifest takes': (manifest) => ({ ...manifest, vmmVersion: 'x'.repeat(8 * 1024 * 1024) }),
};

describe('a snapshot that came from elsewhere', () => {
  test.each(Object.keys(REFUSED))('with %s is one corrupt snapshot, and the runtime opens', async (what) => {
    await changeManifest(REFUSED[what] as (manifest: Json) => unknown);
    const runtime = await open();
    const [entry, ...others] = runtime.recovery.corruptSnapshots;
    expect(entry?.snapshotUid).toBe(snapshotUid);
    expect(entry?.problem.length).toBeLessThan(300);
    expect(others).toEqual([]);
    expect(await runtime.getVm('vm')).toBeDefined();
    await expect(runtime.createVmWithSpec('b', { restoreFrom: { snapshotUid } })).rejects.toMatchObject({
      code: 'MICROVM_SNAPSHOT_CORRUPT',
    });
    await runtime.deleteSnapshot({ snapshotUid });
  });

  test.each<[string, () => Promise<unknown>]>([
    ['is a link', async () => moveAndLink(pathOf())],
    ['has a link as manifest', async () => moveAndLink(pathOf('manifest.json'))],
    ['has a FIFO as manifest', async () => makeFifo(pathOf('manifest.json'))],
    [
      'has a folder as manifest',
      async () => rm(pathOf('manifest.json')).then(() => mkdir(pathOf('manifest.json'))),
    ],
  ])('is one corrupt snapshot when it %s, and nothing waits', async (_what, change) => {
    await change();
    const runtime = await open();
    expect(runtime.recovery.corruptSnapshots.map((entry) => entry.snapshotUid)).toEqual([snapshotUid]);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['a link to a file with the same content', async () => moveAndLink(pathOf('disks.json'))],
    ['a FIFO', async () => makeFifo(pathOf('disks.json'))],
  ])('is not restored when a part of it is %s', async (_what, change) => {
    await change();
    const runtime = await open();
    await expect(runtime.createVmWithSpec('b', { restoreFrom: { snapshotUid } })).rejects.toMatchObject({
      code: 'MICROVM_SNAPSHOT_CORRUPT',
      details: { part: 'disks.json', problem: 'not a regular file' },
    });
  });

  test('has its limits and its jail of the caller and the defaults, its labels of the snapshot', async () => {
    const runtime = await createInMemoryRuntime({ stateDir, defaults: { limits: { cpuCores: 2 } } });
    opened.push(runtime);
    const restored = await runtime.createVmWithSpec('b', { restoreFrom: { snapshotUid } });
    expect(restored.spec).toMatchObject({ limits: { cpuCores: 2 }, labels: { team: 'a' } });
    expect(restored.spec).not.toHaveProperty('jail');
    const limits = { cpuCores: 3 };
    const chosen = await runtime.createVmWithSpec('c', { restoreFrom: { snapshotUid }, limits });
    expect(chosen.spec.limits).toEqual(limits);
  });

  test('can be restored by another runtime whose state directory never had its VM', async () => {
    const other = join(folder, 'other');
    await (await createInMemoryRuntime({ stateDir: other })).close();
    await cp(pathOf(), join(other, 'snapshots', snapshotUid), { recursive: true });
    stateDir = other;
    const runtime = await open();
    expect(await runtime.createVmWithSpec('b', { restoreFrom: { snapshotUid } })).toMatchObject({
      state: 'running',
      restoredFrom: snapshotUid,
    });
  });
});

async function moveAndLink(path: string): Promise<void> {
  const elsewhere = join(folder, 'elsewhere');
  await rename(path, elsewhere);
  await symlink(elsewhere, path);
}

async function makeFifo(path: string): Promise<void> {
  await rm(path);
  execFileSync('mkfifo', [path]);
}
