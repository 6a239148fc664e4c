import type { VmSpec } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { createVirtualClock, type GuestScript, type ScriptedGuest } from '../src/index.js';
import {
  makeRun,
  makeTarget,
  makeVm,
  openDriver,
  runningVm,
  snapshotOf,
  sourceOf,
  type Harness,
} from './driver-harness.js';

/** A script that hands out the guest of the last boot. */
function grabGuest(): { readonly script: GuestScript; readonly guest: () => ScriptedGuest } {
  const guests: ScriptedGuest[] = [];
  return {
    script: { boot: (guest) => void guests.push(guest) },
    guest: () => guests.at(-1) as ScriptedGuest,
  };
}

async function readConsole({ driver }: Harness, vm: ReturnType<typeof makeVm>): Promise<string> {
  let text = '';
  for await (const chunk of driver.console!.read(vm, {})) text += chunk.toString();
  return text;
}

describe('steps', () => {
  test('each method marks its steps, in order, and they are all in the list', async () => {
    const { driver } = await openDriver();
    const vm = makeVm(driver);
    const run = makeRun();
    const target = makeTarget(true);
    await driver.prepare(vm, run);
    await driver.boot(vm, run);
    await driver.guestAgent!.configure({ ...vm, settings: { env: { A: '1' } } }, run);
    await driver.pausing!.pause(vm, run);
    const captured = await driver.snapshots!.capture(vm, target, run);
    const clone = makeVm(driver);
    await driver.snapshots!.restore(clone, sourceOf(target, captured), run);
    await driver.pausing!.resume(clone, 'restore', run);
    await driver.pausing!.resume(vm, 'pause', run);
    await driver.shutdown(vm, run);
    expect(run.steps).toEqual([
      'prepare:disks',
      'boot:started',
      'boot:ready',
      'configure:told',
      'pause:held',
      'capture:memory',
      'capture:disks',
      'restore:disks',
      'restore:memory',
      'resume:repaired',
      'resume:released',
      'resume:released',
      'shutdown:asked',
      'shutdown:halted',
    ]);
    expect(new Set(run.steps)).toEqual(new Set(driver.steps));
    expect(run.told.map(({ step }) => step)).toEqual(['boot', 'capture', 'restore']);
  });
});

describe('guests', () => {
  test('a boot writes kernel, command line and readiness to the console', async () => {
    const harness = await openDriver();
    const vm = await runningVm(harness.driver, {
      vcpuCount: 2,
      memSizeMib: 64,
      bootArgs: { append: 'quiet x=1' },
    });
    const text = await readConsole(harness, vm);
    expect(text).toContain('Command line: console=ttyS0 quiet x=1\n');
    expect(text).toContain('2 CPU, Memory: 64 MiB');
    expect(text.endsWith('microvm-agent: ready\n')).toBe(true);
  });

  test('a boot whose script fails is a guest that cannot be reached', async () => {
    const { driver } = await openDriver({
      guest: { boot: () => Promise.reject(new Error('no root file system')) },
    });
    const vm = makeVm(driver);
    await driver.prepare(vm, makeRun());
    await expect(driver.boot(vm, makeRun())).rejects.toMatchObject({
      code: 'MICROVM_GUEST_UNREACHABLE',
      details: { reason: 'no root file system' },
    });
    await driver.halt(vm);
  });

  test('a boot that is stuck ends by its signal, with the very reason', async () => {
    const { driver } = await openDriver({ guest: { boot: () => new Promise(() => undefined) } });
    const vm = makeVm(driver);
    await driver.prepare(vm, makeRun());
    const abort = new AbortController();
    const booting = driver.boot(vm, makeRun(abort.signal));
    abort.abort('enough');
    await expect(booting).rejects.toBe('enough');
    await driver.halt(vm);
    await expect(driver.adopt(vm, makeRun())).resolves.toMatchObject({ state: 'ended' });
  });

  test('a guest that panics while it boots: told, and the boot rejects', async () => {
    const { driver, ended } = await openDriver({ guest: { boot: (guest) => guest.panic('no init') } });
    const vm = makeVm(driver);
    await driver.prepare(vm, makeRun());
    await expect(driver.boot(vm, makeRun())).rejects.toMatchObject({
      code: 'MICROVM_VMM_EXITED',
      details: { lastLogLines: expect.arrayContaining(['Kernel panic - not syncing: no init']) as unknown },
    });
    expect(ended).toMatchObject([{ instanceId: vm.instanceId, ending: { reason: 'panic' } }]);
  });

  test.each([
    ['power-off', (guest: ScriptedGuest) => guest.powerOff(), 0],
    ['reboot', (guest: ScriptedGuest) => guest.reboot(), 0],
    ['panic', (guest: ScriptedGuest) => guest.panic(), 1],
  ] as const)(
    '%s by the guest itself is told once, and halt clears it away',
    async (reason, act, exitCode) => {
      const { script, guest } = grabGuest();
      const { driver, ended } = await openDriver({ guest: script });
      const vm = await runningVm(driver);
      act(guest());
      act(guest());
      expect(ended).toEqual([
        {
          instanceId: vm.instanceId,
          ending: { reason, exitCode, signal: null, lastLogLines: expect.any(Array) as unknown },
        },
      ]);
      await expect(driver.pausing!.pause(vm, makeRun())).rejects.toMatchObject({
        code: 'MICROVM_VMM_EXITED',
      });
      await driver.halt(vm);
      expect((await driver.survey()).size).toBe(0);
      await driver.boot(vm, makeRun());
      expect([...(await driver.survey())]).toEqual([vm.instanceId]);
    },
  );

  test('a script that outlives its guest cannot act on the next life', async () => {
    const { script, guest } = grabGuest();
    const { driver, ended } = await openDriver({ guest: script });
    const vm = await runningVm(driver);
    const old = guest();
    await driver.halt(vm);
    await driver.boot(vm, makeRun());
    old.powerOff();
    old.memory['late'] = true;
    expect(ended).toEqual([]);
    expect(guest().memory).toEqual({});
  });

  test('nothing goes on watching a guest after its boot and after an aborted shutdown', async () => {
    const { driver, world } = await openDriver({
      guest: { boot: () => undefined, shutdown: () => new Promise(() => undefined) },
    });
    const vm = await runningVm(driver);
    const abort = new AbortController();
    const stopping = driver.shutdown(vm, makeRun(abort.signal));
    abort.abort();
    await expect(stopping).rejects.toThrow();
    expect(world.vms.get(vm.instanceId)?.watchers?.size).toBe(0);
  });

  test('sleeping in a guest stands still while the VM is paused', async () => {
    const clock = createVirtualClock();
    const { script, guest } = grabGuest();
    const { driver } = await openDriver({ guest: script, clock });
    const vm = await runningVm(driver);
    let isAwake = false;
    const sleeping = guest()
      .sleep(50)
      .then(() => (isAwake = true));
    await driver.pausing!.pause(vm, makeRun());
    await clock.advance(100);
    expect(isAwake).toBe(false);
    await driver.pausing!.resume(vm, 'pause', makeRun());
    await sleeping;
  });
});

describe('shutdown', () => {
  test('is graceful when the guest flushes in time', async () => {
    const seen: string[] = [];
    const harness = await openDriver({ guest: { shutdown: () => void seen.push('flushed') } });
    const vm = await runningVm(harness.driver);
    const ending = await harness.driver.shutdown(vm, makeRun());
    expect(ending).toMatchObject({ reason: 'shutdown', exitCode: 0, signal: null });
    expect(seen).toEqual(['flushed']);
    expect(await readConsole(harness, vm)).toContain('farewell shutdown');
    expect(harness.ended).toEqual([]);
  });

  test('is forced after shutdownTimeoutMs, on the driver’s clock', async () => {
    const clock = createVirtualClock();
    const { driver } = await openDriver({ clock, guest: { shutdown: () => new Promise(() => undefined) } });
    const vm = await runningVm(driver, { shutdownTimeoutMs: 5000 });
    let ending: unknown;
    const stopping = driver.shutdown(vm, makeRun()).then((value) => (ending = value));
    await clock.advance(4999);
    expect(ending).toBeUndefined();
    await clock.advance(1);
    await stopping;
    expect(ending).toMatchObject({ reason: 'killed', exitCode: null, signal: 'SIGKILL' });
    expect(clock.pending).toBe(0);
  });

  test('without any time the guest is not asked', async () => {
    const seen: string[] = [];
    const { driver } = await openDriver({ guest: { shutdown: () => void seen.push('asked') } });
    const vm = await runningVm(driver, { shutdownTimeoutMs: 0 });
    expect(await driver.shutdown(vm, makeRun())).toMatchObject({ reason: 'killed' });
    expect(seen).toEqual([]);
  });

  test('an aborted shutdown rejects, and the VM is what it is', async () => {
    const { driver } = await openDriver({ guest: { shutdown: () => new Promise(() => undefined) } });
    const vm = await runningVm(driver);
    const abort = new AbortController();
    const stopping = driver.shutdown(vm, makeRun(abort.signal));
    abort.abort('no');
    await expect(stopping).rejects.toBe('no');
    expect(await driver.adopt(vm, makeRun())).toEqual({ state: 'running' });
  });

  test('a guest that powers itself off first is told of by the answer, not twice', async () => {
    const { driver, ended } = await openDriver({ guest: { shutdown: (guest) => guest.powerOff() } });
    const vm = await runningVm(driver);
    expect(await driver.shutdown(vm, makeRun())).toMatchObject({ reason: 'power-off' });
    expect(ended).toEqual([]);
    expect(await driver.adopt(vm, makeRun())).toMatchObject({ ending: { reason: 'power-off' } });
  });
});

describe('snapshots', () => {
  test('a restored guest goes on from the memory and the disks of that moment, and goes its own way', async () => {
    const { script, guest } = grabGuest();
    const { driver, world } = await openDriver({ guest: script });
    const vm = await runningVm(driver);
    const { memory } = guest();
    memory['counter'] = 7;
    memory['nested'] = { list: [1] };
    guest().disk()?.write('/note', 'before');
    const source = await snapshotOf(driver, vm);
    memory['counter'] = 8;
    guest().disk()?.write('/note', 'after');

    const clones = [makeVm(driver), makeVm(driver)];
    for (const clone of clones) await driver.snapshots!.restore(clone, source, makeRun());
    const [first, second] = clones.map(({ instanceId }) => world.vms.get(instanceId));
    expect(first?.memory).toEqual({ counter: 7, nested: { list: [1] } });
    expect(first?.disks.disk('/', first.spec)?.read('/note')?.toString()).toBe('before');
    (first?.memory['nested'] as { list: number[] }).list.push(2);
    expect(second?.memory['nested']).toEqual({ list: [1] });
    expect(memory['counter']).toBe(8);
  });

  test('what a script changes while the VM is paused is not in the snapshot', async () => {
    const { script, guest } = grabGuest();
    const { driver, world } = await openDriver({ guest: script });
    const vm = await runningVm(driver);
    guest().memory['counter'] = 1;
    await driver.pausing!.pause(vm, makeRun());
    guest().memory['counter'] = 2;
    guest().disk()?.write('/late', '');
    const target = makeTarget(true);
    const captured = await driver.snapshots!.capture(vm, target, makeRun());
    const clone = makeVm(driver);
    await driver.snapshots!.restore(clone, sourceOf(target, captured), makeRun());
    const restored = world.vms.get(clone.instanceId);
    expect(restored?.memory).toEqual({ counter: 1 });
    expect(restored?.disks.disk('/', restored.spec)?.list()).toEqual([]);
  });

  test('a disk snapshot keeps the disks and loses the memory, and so does a cold boot', async () => {
    const { script, guest } = grabGuest();
    const { driver } = await openDriver({ guest: script });
    const vm = await runningVm(driver, { drives: [{ driveId: 'data', path: '/data' }] });
    guest().memory['counter'] = 1;
    guest().disk('data')?.write('/rows', '1');
    await driver.shutdown(vm, makeRun());
    const target = makeTarget(false);
    const captured = await driver.snapshots!.capture(vm, target, makeRun());
    expect(captured.parts.map(({ role }) => role)).toEqual(['disk']);
    const clone = makeVm(driver, { drives: [{ driveId: 'data', path: '/data' }] });
    await driver.snapshots!.restore(clone, sourceOf(target, captured), makeRun());
    for (const each of [vm, clone]) {
      await driver.boot(each, makeRun());
      expect(guest().memory).toEqual({});
      expect(guest().disk('data')?.read('/rows')?.toString()).toBe('1');
    }
  });

  test('a restore raises the epoch of the guest; a cold boot begins anew', async () => {
    const { driver, world } = await openDriver();
    const vm = await runningVm(driver);
    const source = await snapshotOf(driver, vm);
    const clone = makeVm(driver);
    await driver.snapshots!.restore(clone, source, makeRun());
    await driver.pausing!.resume(clone, 'restore', makeRun());
    const again = makeVm(driver);
    await driver.snapshots!.restore(again, await snapshotOf(driver, clone), makeRun());
    await driver.pausing!.resume(again, 'restore', makeRun());
    const epochs = [vm, clone, again].map(({ instanceId }) => world.vms.get(instanceId)?.epoch);
    expect(epochs).toEqual([1, 2, 3]);
    await driver.halt(again);
    await driver.boot(again, makeRun());
    expect(world.vms.get(again.instanceId)?.epoch).toBe(1);
  });

  test('is incompatible with another CPU model', async () => {
    const taken = await openDriver({ cpuModel: 'skylake' });
    const source = await snapshotOf(taken.driver, await runningVm(taken.driver));
    const { driver } = await openDriver({ cpuModel: 'milan' });
    await expect(driver.snapshots!.checkSnapshot(source, makeVm(driver).spec)).rejects.toMatchObject({
      code: 'MICROVM_SNAPSHOT_INCOMPATIBLE',
    });
    await taken.driver.snapshots!.checkSnapshot(source, makeVm(driver).spec);
  });

  test('a snapshot that was forgotten holds no memory any more', async () => {
    const { driver, world } = await openDriver();
    const { snapshotUid } = await snapshotOf(driver, await runningVm(driver));
    expect(world.snapshots.size).toBe(1);
    driver.snapshots!.forget!(snapshotUid);
    expect(world.snapshots.size).toBe(0);
  });
});

describe('disks', () => {
  test('drives hold what the files of the host hold; read-only ones cannot be written', async () => {
    const { script, guest } = grabGuest();
    const hostFiles = { '/root.ext4': { '/etc/name': 'root' }, '/tools': { '/bin/tool': 'x' } };
    const { driver } = await openDriver({ guest: script, hostFiles });
    await runningVm(driver, {
      rootDrive: { path: '/root.ext4' },
      drives: [{ driveId: 'tools', path: '/tools', mode: 'shared' }],
    });
    expect(guest().disk()?.read('/etc/name')?.toString()).toBe('root');
    expect(guest().disk('tools')?.list()).toEqual(['/bin/tool']);
    expect(guest().disk('none')).toBeUndefined();
    const write = (): unknown => guest().disk('tools')?.write('/bin/tool', 'y');
    expect(write).toThrow(expect.objectContaining({ errno: 'EROFS' }) as Error);
    expect(guest().disk('tools')?.isReadOnly).toBe(true);
  });

  test('bytes come back as they were, under any name', async () => {
    const { script, guest } = grabGuest();
    const { driver } = await openDriver({ guest: script });
    await runningVm(driver);
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    for (const path of ['/bytes', '__proto__', 'constructor']) {
      expect(guest().disk()?.read(path)).toBeUndefined();
      guest().disk()?.write(path, bytes);
      expect(guest().disk()?.read(path)).toEqual(bytes);
      expect(guest().disk()?.remove(path)).toBe(true);
      expect(guest().disk()?.remove(path)).toBe(false);
    }
  });

  test('with files of the host, a spec that names another file is refused', async () => {
    const { driver } = await openDriver({ hostFiles: { '/vmlinux': {} } });
    const specs: [VmSpec, string][] = [
      [{ kernelPath: '/other' }, 'spec.kernelPath'],
      [{ kernelPath: '/vmlinux', initrdPath: '/i' }, 'spec.initrdPath'],
      [{ rootDrive: { path: '/r' } }, 'spec.rootDrive.path'],
      [{ drives: [{ driveId: 'a', path: '/a' }] }, 'spec.drives[0].path'],
    ];
    for (const [spec, path] of specs) {
      await expect(driver.checkSpec(makeVm(driver, spec).spec, spec)).rejects.toMatchObject({
        code: 'MICROVM_INVALID_ARGUMENT',
        details: { path },
      });
    }
    await driver.checkSpec(makeVm(driver, { kernelPath: '/vmlinux' }).spec, {});
  });
});

describe('worlds', () => {
  test('VMs of a shared world outlive their driver and are adopted', async () => {
    const first = await openDriver({ isShared: true });
    const running = await runningVm(first.driver);
    const paused = await runningVm(first.driver);
    await first.driver.pausing!.pause(paused, makeRun());
    await first.driver.close();
    const { driver } = await openDriver({ isShared: true, world: first.world });
    expect(await driver.survey()).toEqual(new Set([running.instanceId, paused.instanceId]));
    expect(await driver.adopt(running, makeRun())).toEqual({ state: 'running' });
    expect(await driver.adopt(paused, makeRun())).toEqual({ state: 'paused' });
    await driver.pausing!.resume(paused, 'pause', makeRun());
  });

  test('VMs of a driver’s own world end with it', async () => {
    const { driver, world } = await openDriver();
    await runningVm(driver);
    await driver.close();
    expect(world.vms.size).toBe(0);
  });
});
