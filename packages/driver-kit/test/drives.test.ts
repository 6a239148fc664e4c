import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RestoreSource } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { captureDisks, makeDisks } from '../src/disks/disk-files.js';
import { planDrives, planNewDrives, plannedDriveSchema } from '../src/disks/planned-drive.js';
import { removeFiles } from '../src/host/remove-files.js';
import { makeRun, makeVm } from './vm.js';

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kit-drives-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

describe('drives', () => {
  it('are planned in their order: private ones by the names that they will have, shared ones as they are', () => {
    const planned = planDrives(
      makeVm({
        rootDrive: { path: '/r', sizeMib: 8 },
        drives: [
          { driveId: 'a', path: '/a', mode: 'shared' },
          { driveId: 'b', path: '/b', readOnly: true },
        ],
      }).spec,
    );
    expect(planned.map(({ file, part, readOnly, sizeMib }) => [file, part, readOnly, sizeMib])).toEqual([
      ['disks/root.raw', 'disk-root.raw', false, 8],
      ['/a', 'disk-drive-a.raw', true, null],
      ['disks/drive-b.raw', 'disk-drive-b.raw', true, null],
    ]);
    for (const drive of planned) expect(plannedDriveSchema.parse(drive)).toEqual(drive);
  });

  it('go from the image to a VM, to a snapshot and to another VM, each a copy; shared ones go nowhere', async () => {
    const folder = await makeFolder();
    const [image, first, snapshot, second] = ['image', 'first', 'snapshot', 'second'].map((name) =>
      join(folder, name),
    ) as [string, string, string, string];
    for (const path of [first, snapshot, second]) await mkdir(path);
    await writeFile(image, 'image;'.padEnd(4096));
    const { vmId, spec } = makeVm({
      rootDrive: { path: image },
      drives: [{ driveId: 's', path: image, mode: 'shared' }],
    });
    const drives = await planNewDrives(spec, undefined);
    expect(drives.map(({ sizeBytes }) => sizeBytes)).toEqual([4096, 4096]);
    await makeDisks({ drives, folder: first }, makeRun());
    await writeAt(join(first, 'disks/root.raw'), 'written by a');
    const disks = await captureDisks({ vmId }, { drives, folder: first }, snapshot, makeRun());
    expect(['copy', 'reflink']).toContain(disks.method);
    expect(disks.parts).toEqual([{ name: 'disk-root.raw', role: 'disk' }]);
    const restored = await planNewDrives(spec, makeSource(snapshot));
    await makeDisks({ drives: restored, folder: second }, makeRun());
    await rm(snapshot, { recursive: true });
    expect(await readFile(join(second, 'disks/root.raw'), 'utf8')).toMatch(/^written by a *$/);
    expect(await readFile(image, 'utf8')).toMatch(/^image; *$/);
    expect(await removeFiles(second, ['disks', 'missing'])).toEqual([]);
    await expect(stat(join(second, 'disks'))).rejects.toThrow('ENOENT');
  });

  it('are none of a snapshot when all are shared', async () => {
    const folder = await makeFolder();
    const drives = planDrives(makeVm({ rootDrive: { path: '/r', mode: 'shared' } }).spec);
    const disks = await captureDisks({ vmId: 'a' }, { drives, folder }, folder, makeRun());
    expect(disks).toEqual({ method: 'none', parts: [] });
  });

  it.each([
    ['larger than any file', 2 ** 62],
    ['a byte larger', 4097],
    ['a byte smaller', 4095],
  ])('are captured in their planned size only: one that its VM made %s is refused', async (_what, size) => {
    const folder = await makeFolder();
    const image = join(folder, 'image');
    await writeFile(image, Buffer.alloc(4096, 1));
    const drives = await planNewDrives(makeVm({ rootDrive: { path: image } }).spec, undefined);
    await makeDisks({ drives, folder }, makeRun());
    const disk = join(folder, 'disks/root.raw');
    // Not every file system takes such a size.
    if ((await truncate(disk, size).catch(() => 'refused')) === 'refused') await truncate(disk, 2 ** 43);
    const { size: sizeBytes } = await stat(disk);
    const target = join(folder, 'snapshot');
    await mkdir(target);
    await expect(captureDisks({ vmId: 'a' }, { drives, folder }, target, makeRun())).rejects.toMatchObject({
      code: 'MICROVM_UNEXPECTED_SIZE',
      details: { vmId: 'a', file: 'disks/root.raw', sizeBytes, expectedSizeBytes: 4096 },
    });
    expect(await readdir(target)).toEqual([]);
  });
});

function makeSource(directory: string): RestoreSource {
  return {
    snapshotUid: '0'.repeat(32),
    directory,
    memory: false,
    parts: [],
    vmmVersion: '1',
    compatibility: {},
    networkOverrides: [],
  };
}

/** As a guest writes: the size stays. */
async function writeAt(path: string, text: string): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(text, 0);
  await file.close();
}

describe('removeFiles', () => {
  it('answers what is still there, with the reason', async () => {
    const [left, ...others] = await removeFiles('/proc/self', ['status']);
    expect(left).toMatch(/^E[A-Z]+: .*\/proc\/self\/status/);
    expect(others).toEqual([]);
  });
});
