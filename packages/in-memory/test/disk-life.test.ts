import { expect, test } from 'vitest';
import type { GuestScript, ScriptedGuest } from '../src/index.js';
import { createInMemoryRuntime } from '../src/index.js';
import { makeRun, makeVm, openDriver, runningVm, snapshotOf } from './driver-harness.js';

/** A script by which a test gets hold of the guest that booted last. */
function grab(): { readonly script: GuestScript; readonly guest: () => ScriptedGuest } {
  let last: ScriptedGuest | undefined;
  return {
    script: { boot: (guest) => void (last = guest) },
    guest: () => {
      if (last === undefined) throw new Error('no guest has booted');
      return last;
    },
  };
}

test('folders, links, modes and removed system files survive a stop, and a restore copies them', async () => {
  const { driver, world } = await openDriver();
  const vm = await runningVm(driver);
  const memoryVm = world.vms.get(vm.instanceId)!;
  const files = () => memoryVm.disks.files('/', memoryVm.spec)!;
  files().mkdirAll('/work/deep', 0o750);
  files().writeFile('/work/deep/file', 'one', 0o600);
  files().symlink('deep/file', '/work/link');
  files().link('/work/deep/file', '/work/twin');
  files().removeAll('/home');
  await driver.shutdown(vm, makeRun());
  await driver.boot(vm, makeRun());

  const clone = makeVm(driver);
  await driver.snapshots!.restore(clone, await snapshotOf(driver, vm), makeRun());
  const cloned = world.vms.get(clone.instanceId)!;
  const copy = cloned.disks.files('/', cloned.spec)!;
  expect(copy.stat('/work/deep').mode).toBe(0o750);
  expect(copy.lstat('/work/link').target).toBe('deep/file');
  expect(copy.stat('/work/twin')).toBe(copy.stat('/work/link'));
  expect(copy.find('/home')).toBeUndefined();
  copy.writeFile('/work/twin', 'two');
  expect(copy.readFile('/work/link').toString()).toBe('two');
  expect(files().readFile('/work/link').toString()).toBe('one');
});

test('a disk that is full says so, and one that nobody looks into is never made', async () => {
  const { script, guest } = grab();
  const { driver, world } = await openDriver({ guest: script, diskLimitBytes: 100_000 });
  const vm = await runningVm(driver);
  const memoryVm = world.vms.get(vm.instanceId)!;
  expect(memoryVm.disks.contents).toEqual({ '/': {} });
  const write = () => guest().disk()?.write('/big', Buffer.alloc(100_000));
  expect(write).toThrow(expect.objectContaining({ errno: 'ENOSPC' }) as Error);
  guest().disk()?.write('/small', 'fits');
  expect(guest().disk()?.list()).toEqual(['/big', '/small']);
});

test('the limit of a disk is a whole number of bytes', async () => {
  for (const diskLimitBytes of [0, -1, 1.5]) {
    await expect(createInMemoryRuntime({ diskLimitBytes })).rejects.toMatchObject({
      code: 'MICROVM_INVALID_ARGUMENT',
    });
  }
});
