import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '@microvm/runtime';
import { expect, it, onTestFinished } from 'vitest';
import { fileSizeLimit } from '../src/host/file-size-limit.js';

const GIB = 1024 * MIB;
const LOGS = 64 * GIB;

interface Scene {
  readonly directory: string;
  readonly disk: string;
}

async function makeScene(): Promise<Scene> {
  const directory = await mkdtemp(join(tmpdir(), 'fc-limit-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  await mkdir(join(directory, 'disks'));
  const disk = join(directory, 'disks', 'root.raw');
  await writeFile(disk, '');
  return { directory, disk };
}

function limitOf({ directory }: Scene, sizeBytes: number | null, memSizeMib = 128): number {
  const drive = {
    ...{ driveId: 'root', source: '/template', isPrivate: true, readOnly: false, sizeMib: null, sizeBytes },
    ...{ file: 'disks/root.raw', part: 'disk-root.raw' },
  };
  return fileSizeLimit({ plan: { drives: [drive] }, directory, memSizeMib });
}

it('holds the largest of memory and disks, and what logs may grow by', async () => {
  const scene = await makeScene();
  expect(limitOf(scene, 2 * GIB)).toBe(2 * GIB + LOGS);
  expect(limitOf(scene, 2 * GIB, 4096)).toBe(4 * GIB + LOGS);
});

it('follows from the planned size of a disk, whatever its VMM has made of it', async () => {
  const scene = await makeScene();
  await truncate(scene.disk, 8000 * GIB);
  expect(limitOf(scene, 2 * GIB)).toBe(2 * GIB + LOGS);
});

it('follows from the file where an older version has planned no size', async () => {
  const scene = await makeScene();
  await truncate(scene.disk, 3 * GIB);
  expect(limitOf(scene, null)).toBe(3 * GIB + LOGS);
});

it('lets a console go on that is long already', async () => {
  const scene = await makeScene();
  await writeFile(join(scene.directory, 'console.log'), '');
  await truncate(join(scene.directory, 'console.log'), 100 * GIB);
  expect(limitOf(scene, 2 * GIB)).toBe(100 * GIB + LOGS);
});
