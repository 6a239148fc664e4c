import { appendFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { captureDisks, makeDisks, restoreDisks } from '../src/disks/disk-files.js';
import { planDrives, plannedDriveSchema } from '../src/disks/planned-drive.js';
import { describeSharedDrives } from '../src/disks/shared-drives.js';
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
    const drives = planDrives(
      makeVm({ rootDrive: { path: image }, drives: [{ driveId: 's', path: image, mode: 'shared' }] }).spec,
    );
    await makeDisks(drives, first, makeRun());
    await appendFile(join(first, 'disks/root.raw'), 'written by a');
    expect(['copy', 'reflink']).toContain(await captureDisks(drives, first, snapshot, makeRun()));
    await restoreDisks(drives, snapshot, second, makeRun());
    await rm(snapshot, { recursive: true });
    expect(await readFile(join(second, 'disks/root.raw'), 'utf8')).toMatch(/^image; *written by a$/);
    expect((await stat(image)).size).toBe(4096);
    expect(await removeFiles(second, ['disks', 'missing'])).toEqual([]);
    await expect(stat(join(second, 'disks'))).rejects.toThrow('ENOENT');
  });

  it('are none of a snapshot when all are shared', async () => {
    const folder = await makeFolder();
    const drives = planDrives(makeVm({ rootDrive: { path: '/r', mode: 'shared' } }).spec);
    expect(await captureDisks(drives, folder, folder, makeRun())).toBe('none');
  });

  it('that are shared are described so that a change shows', async () => {
    const path = join(await makeFolder(), 'shared.img');
    await writeFile(path, 'before');
    const drives = planDrives(makeVm({ rootDrive: { path, mode: 'shared' } }).spec);
    const before = await describeSharedDrives(drives);
    expect(before).toMatchObject([{ path, sizeBytes: 6 }]);
    await writeFile(path, 'behind');
    expect(await describeSharedDrives(drives)).not.toEqual(before);
  });
});

describe('removeFiles', () => {
  it('answers what is still there, with the reason', async () => {
    const [left, ...others] = await removeFiles('/proc/self', ['status']);
    expect(left).toMatch(/^E[A-Z]+: .*\/proc\/self\/status/);
    expect(others).toEqual([]);
  });
});
