import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { mountOf, readMounts } from '../src/index.js';

async function makeFolder(): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'kit-mounts-')));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

it('lists /proc as what it is', async () => {
  expect(await readMounts()).toContainEqual(expect.objectContaining({ point: '/proc', type: 'proc' }));
});

it.runIf(process.geteuid?.() === 0)(
  'tells the mount of a folder through a link, whatever its name is',
  async () => {
    const folder = await makeFolder();
    const point = join(folder, 'a b\\ä\n');
    await mkdir(point);
    const outside = await mountOf(folder);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'noexec,nodev', 'tmpfs', point]);
    onTestFinished(() => void execFileSync('umount', [point]));
    await mkdir(join(point, 'below'));
    await symlink(join(point, 'below'), join(folder, 'link'));
    const mount = await mountOf(join(folder, 'link'));
    expect(mount).toMatchObject({ point, type: 'tmpfs' });
    expect(mount?.options).toEqual(expect.arrayContaining(['rw', 'noexec', 'nodev']));
    expect(await mountOf(folder)).toEqual(outside);
    expect(outside?.point).not.toBe(point);
  },
);
