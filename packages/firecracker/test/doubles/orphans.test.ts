import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readOwnerId } from '@microvm/driver-kit';
import { expect, it, onTestFinished } from 'vitest';
import { findCgroupMount } from '../../src/host/cgroups.js';
import { openDoubles } from './doubles.js';

const isRoot = process.geteuid?.() === 0;
const cgroupMount = isRoot ? await findCgroupMount() : undefined;

/** Makes a folder that nobody can remove before `free` is called: a file system is mounted in it. */
async function protect(folder: string): Promise<() => void> {
  await mkdir(folder, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', folder]);
  let isMounted = true;
  const free = (): void => {
    if (isMounted) execFileSync('umount', [folder]);
    isMounted = false;
  };
  onTestFinished(free);
  return free;
}

it.runIf(isRoot)('what belongs to no VM is swept at the open, and what cannot be swept is told', async () => {
  const stateDir = await mkdtemp(join(tmpdir(), 'fc-orphans-'));
  onTestFinished(() => rm(stateDir, { recursive: true, force: true }));
  const first = await openDoubles({ stateDir });
  await first.createVm('a');
  await first.close();
  const jails = join('jail', 'firecracker');
  const [gone, stuck] = ['0'.repeat(32), '1'.repeat(32)];
  await mkdir(join(stateDir, jails, gone, 'root'), { recursive: true });
  await writeFile(join(stateDir, 'images', '.half.partial'), '');
  const stuckParts = [join(stateDir, jails, stuck, 'root')];
  const cgroup = join(cgroupMount ?? '', 'microvm', (await readOwnerId(stateDir)) ?? '', stuck);
  if (cgroupMount !== undefined) {
    stuckParts.push(cgroup);
    onTestFinished(() => rmdir(cgroup).catch(() => undefined));
  }
  const frees = await Promise.all(stuckParts.map(protect));

  const second = await openDoubles({ stateDir });
  expect(await second.getVm('a')).toMatchObject({ state: 'created' });
  expect(second.recovery.swept).toEqual([join('images', '.half.partial'), join(jails, gone)]);
  expect(second.recovery.notSwept.map(({ what }) => what)).toEqual([
    ...(cgroupMount === undefined ? [] : [cgroup]),
    join(jails, stuck),
  ]);
  for (const { problem } of second.recovery.notSwept) expect(problem).toMatch(/\w/);
  await second.close();

  for (const free of frees) free();
  const third = await openDoubles({ stateDir });
  expect(third.recovery.notSwept).toEqual([]);
  expect(third.recovery.swept).toContain(join(jails, stuck));
  const { instanceId } = (await third.getVm('a')) ?? {};
  expect(await readdir(join(stateDir, jails))).toEqual([instanceId]);
});
