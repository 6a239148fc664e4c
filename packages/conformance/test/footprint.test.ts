import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { childProcesses, contentsOf, filesOfVms, openDescriptors, processesUsing } from '../src/footprint.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'microvm-footprint-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test('an open descriptor is counted, and not when it is closed', async () => {
  const path = join(folder, 'file');
  const handle = await open(path, 'w');
  expect(await openDescriptors()).toContain(path);
  await handle.close();
  expect(await openDescriptors()).not.toContain(path);
});

test('a process that only has a file of the folder open uses it', async () => {
  const handle = await open(join(folder, 'file'), 'w');
  const child = spawn('cat', [], { stdio: ['pipe', handle.fd, 'ignore'], cwd: '/' });
  await once(child, 'spawn');
  expect(await childProcesses()).toContain(child.pid);
  expect(await processesUsing(folder)).toEqual([child.pid]);
  const ended = once(child, 'exit');
  child.stdin?.end();
  await ended;
  await handle.close();
  expect(await childProcesses()).not.toContain(child.pid);
  expect(await processesUsing(folder)).toEqual([]);
});

test('a process uses the folder that it works in, or that its arguments name', async () => {
  const children = [
    spawn('cat', [], { cwd: folder, stdio: ['pipe', 'ignore', 'ignore'] }),
    spawn('tail', ['-f', join(folder, 'none'), '-'], { cwd: '/', stdio: ['pipe', 'ignore', 'ignore'] }),
  ];
  await Promise.all(children.map((child) => once(child, 'spawn')));
  const pids = children.map(({ pid }) => pid ?? 0).sort((a, b) => a - b);
  expect((await processesUsing(folder)).sort((a, b) => a - b)).toEqual(pids);
  const ended = children.map((child) => once(child, 'exit'));
  for (const child of children) child.kill('SIGKILL');
  await Promise.all(ended);
});

test('files are listed and read with the folders below', async () => {
  await mkdir(join(folder, 'a'));
  await writeFile(join(folder, 'a', 'b'), 'text');
  expect(await filesOfVms(folder)).toEqual(['a', 'a/b']);
  expect([...(await contentsOf(folder))]).toEqual([['a/b', Buffer.from('text')]]);
});

test('what a state directory keeps when its VMs are gone is no file of theirs', async () => {
  await mkdir(join(folder, 'jobs'));
  await mkdir(join(folder, 'vms'));
  for (const name of ['jobs/one.json', '.reserve', 'vms/record']) await writeFile(join(folder, name), 'text');
  expect(await filesOfVms(folder)).toEqual(['jobs', 'vms', 'vms/record']);
});
