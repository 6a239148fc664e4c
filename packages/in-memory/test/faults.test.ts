import { VmRuntimeError } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import {
  createFaults,
  createInMemoryRuntime,
  createVirtualClock,
  DRIVER_METHODS,
  type Fault,
} from '../src/index.js';
import { makeRun, makeVm, openDriver, runningVm, snapshotOf } from './driver-harness.js';

const planted = new Error('planted');
const noSpace = new VmRuntimeError('MICROVM_NO_SPACE', 'planted', { details: { path: '/' } });

describe('places', () => {
  test('a fault strikes once, at the first time, unless told otherwise', async () => {
    const { driver, faults } = await openDriver();
    const fault = faults.add({ at: 'prepare', kind: 'fail', error: planted });
    await expect(driver.prepare(makeVm(driver), makeRun())).rejects.toBe(planted);
    await driver.prepare(makeVm(driver), makeRun());
    expect(fault.hits).toBe(1);
  });

  test('nth and always say when', async () => {
    const { driver, faults } = await openDriver();
    faults.add({ at: 'prepare', kind: 'fail', error: planted, nth: 2 });
    faults.add({ at: 'prepare', kind: 'fail', error: noSpace, nth: 4, always: true });
    const seen: unknown[] = [];
    for (let call = 1; call <= 6; call += 1) {
      seen.push(await driver.prepare(makeVm(driver), makeRun()).catch((error: unknown) => error));
    }
    expect(seen).toEqual([{}, planted, {}, noSpace, noSpace, noSpace]);
  });

  test('vmId says whose', async () => {
    const { driver, faults } = await openDriver();
    faults.add({ at: 'prepare', vmId: 'b', kind: 'fail', error: planted });
    await driver.prepare(makeVm(driver, {}, 'a'), makeRun());
    await expect(driver.prepare(makeVm(driver, {}, 'b'), makeRun())).rejects.toBe(planted);
  });

  test('a fault at a step comes after the step’s effect', async () => {
    const { driver, faults } = await openDriver();
    const vm = await runningVm(driver);
    faults.add({ at: 'pause:held', kind: 'fail', error: planted });
    await expect(driver.pausing!.pause(vm, makeRun())).rejects.toBe(planted);
    expect(await driver.adopt(vm, makeRun())).toEqual({ state: 'paused' });
  });

  test('every method of the driver can be made to fail', async () => {
    for (const at of DRIVER_METHODS) {
      const { driver, faults } = await openDriver();
      const vm = await runningVm(driver);
      const source = await snapshotOf(driver, vm);
      const other = makeVm(driver);
      const fault = faults.add({ at, kind: 'fail', error: planted });
      const calls: (() => Promise<unknown>)[] = [
        () => driver.checkSpec(vm.spec, {}),
        () => driver.prepare(other, makeRun()),
        () => driver.boot(other, makeRun()),
        () => driver.guestAgent!.guest(vm),
        () => driver.guestAgent!.configure(vm, makeRun()),
        () => driver.pausing!.pause(vm, makeRun()),
        () =>
          driver.snapshots!.capture(
            vm,
            { snapshotUid: '0'.repeat(32), directory: undefined, memory: true },
            makeRun(),
          ),
        () => driver.pausing!.resume(vm, 'pause', makeRun()),
        () => driver.snapshots!.checkSnapshot(source, vm.spec),
        () => driver.snapshots!.restore(makeVm(driver), source, makeRun()),
        () => driver.adopt(vm, makeRun()),
        () => driver.shutdown(vm, makeRun()),
        () => driver.halt(vm),
        () => driver.release(vm),
      ];
      let error: unknown;
      for (const call of calls) {
        if (error !== undefined) break;
        await call().catch((reason: unknown) => (error = reason));
      }
      expect(error, at).toBe(planted);
      expect(fault.hits, at).toBe(1);
    }
  });

  test('a place that does not exist is refused, as it would never strike', () => {
    for (const at of ['boots', 'boot:reddy', '']) {
      expect(() => createFaults([{ at, kind: 'fail', error: planted }])).toThrow(/fault\.at/);
    }
    expect(() => createFaults([{ at: 'boot', kind: 'leave', left: ['x'] }])).toThrow(/release/);
  });
});

describe('hang', () => {
  test('ends by the signal, with its reason', async () => {
    const { driver, faults } = await openDriver();
    const hang = faults.add({ at: 'prepare', kind: 'hang' });
    const abort = new AbortController();
    const preparing = driver.prepare(makeVm(driver), makeRun(abort.signal));
    await hang.reached;
    abort.abort('enough');
    await expect(preparing).rejects.toBe('enough');
  });

  test('goes on when it is removed', async () => {
    const { driver, faults } = await openDriver();
    const hang = faults.add({ at: 'prepare:disks', kind: 'hang', ignoresSignal: true });
    const preparing = driver.prepare(makeVm(driver), makeRun());
    await hang.reached;
    faults.clear();
    await expect(preparing).resolves.toEqual({});
  });

  test('that ignores its signal leaves the VM crashed and unresponsive, after the grace', async () => {
    const clock = createVirtualClock();
    const faults = createFaults();
    const runtime = await createInMemoryRuntime({ clock, faults, abortGraceMs: 1000 });
    await runtime.createVm('vm');
    await runtime.startVm('vm');
    const hang = faults.add({ at: 'pause', kind: 'hang', ignoresSignal: true });
    const outcome = runtime.pauseVm('vm', { timeoutMs: 500 }).catch((error: unknown) => error);
    await hang.reached;
    await clock.advance(1499);
    expect((await runtime.getVm('vm'))?.operation?.kind).toBe('pauseVm');
    await clock.advance(1);
    expect(await outcome).toMatchObject({ code: 'MICROVM_TIMEOUT' });
    expect(await runtime.getVm('vm')).toMatchObject({
      state: 'crashed',
      ending: { reason: 'unresponsive' },
    });
    hang.remove();
    expect((await runtime.startVm('vm')).state).toBe('running');
    await runtime.close();
  });
});

describe('crash', () => {
  test.each(['boot', 'boot:started', 'boot:ready'])('at %s: told, and the boot rejects', async (at) => {
    const { driver, faults, ended } = await openDriver();
    const vm = makeVm(driver);
    await driver.prepare(vm, makeRun());
    faults.add({ at, kind: 'crash' });
    await expect(driver.boot(vm, makeRun())).rejects.toMatchObject({
      code: 'MICROVM_VMM_EXITED',
      details: { exitCode: null, signal: 'SIGKILL' },
    });
    const isTold = at !== 'boot'; // before its first effect there was no VMM to end
    expect(ended).toHaveLength(isTold ? 1 : 0);
    await driver.halt(vm);
    await driver.boot(vm, makeRun());
  });

  test('ends a running VM the way it says', async () => {
    const { driver, faults, ended } = await openDriver();
    const vm = await runningVm(driver);
    faults.add({ at: 'pause', kind: 'crash', ending: { reason: 'panic', exitCode: 1, signal: null } });
    await expect(driver.pausing!.pause(vm, makeRun())).rejects.toMatchObject({ code: 'MICROVM_VMM_EXITED' });
    expect(ended).toMatchObject([{ ending: { reason: 'panic', exitCode: 1, signal: null } }]);
  });

  test('during a shutdown is told by its answer', async () => {
    const { driver, faults, ended } = await openDriver();
    const vm = await runningVm(driver);
    faults.add({ at: 'shutdown:asked', kind: 'crash' });
    expect(await driver.shutdown(vm, makeRun())).toMatchObject({ reason: 'vmm-exit', signal: 'SIGKILL' });
    expect(ended).toEqual([]);
  });

  test('while a VM is prepared: nothing lived, so only the method fails', async () => {
    const { driver, faults, ended } = await openDriver();
    const vm = makeVm(driver);
    faults.add({ at: 'prepare:disks', kind: 'crash' });
    await expect(driver.prepare(vm, makeRun())).rejects.toMatchObject({ code: 'MICROVM_VMM_EXITED' });
    expect(ended).toEqual([]);
    expect(await driver.release(vm)).toEqual([]);
  });
});

describe('the runtime under faults', () => {
  test('what release leaves is in the error and in the view, and destroyVm can be called again', async () => {
    const faults: Fault[] = [{ at: 'release', kind: 'leave', left: ['tap7', 'cgroup x'] }];
    const runtime = await createInMemoryRuntime({ faults });
    await runtime.createVm('vm');
    await expect(runtime.destroyVm('vm')).rejects.toMatchObject({
      code: 'MICROVM_CLEANUP_INCOMPLETE',
      details: { left: ['tap7', 'cgroup x'] },
    });
    expect(await runtime.getVm('vm')).toMatchObject({
      state: 'crashed',
      cleanup: { left: ['tap7', 'cgroup x'] },
    });
    expect((await runtime.destroyVm('vm')).state).toBe('destroyed');
    await runtime.close();
  });

  test('guests end as a test says, by the id that the VM has now', async () => {
    const faults = createFaults();
    const runtime = await createInMemoryRuntime({ faults });
    const outcomes: unknown[] = [];
    const acts = {
      guestPowersOff: () => faults.guestPowersOff('tenant'),
      guestPanics: () => faults.guestPanics('tenant'),
      vmmDies: () => faults.vmmDies('tenant', 'SIGSEGV'),
    };
    await runtime.createVm('pool');
    await runtime.renameVm('pool', 'tenant');
    for (const act of Object.values(acts)) {
      await runtime.startVm('tenant');
      await act();
      const { state, ending } = (await runtime.getVm('tenant')) ?? {};
      outcomes.push([state, ending?.reason, ending?.signal]);
    }
    expect(outcomes).toEqual([
      ['stopped', 'power-off', null],
      ['crashed', 'panic', null],
      ['crashed', 'vmm-exit', 'SIGSEGV'],
    ]);
    await expect(faults.guestPanics('tenant')).rejects.toThrow('the VM is');
    await expect(faults.guestPanics('nobody')).rejects.toThrow('no VM "nobody"');
    await runtime.close();
  });

  test('a guest that reboots runs again, with an empty memory', async () => {
    const faults = createFaults();
    const runtime = await createInMemoryRuntime({ faults });
    await runtime.createVm('vm');
    await runtime.startVm('vm');
    const count = async (): Promise<string> =>
      (await (await runtime.guest('vm')).exec({ argv: ['counter'] }).result).stdout.toString();
    expect([await count(), await count()]).toEqual(['1\n', '2\n']);
    await faults.guestReboots('vm');
    // The start waits for its turn behind the reboot; the VM it finds runs already.
    await expect(runtime.startVm('vm')).rejects.toMatchObject({ details: { actual: 'running' } });
    expect(await count()).toBe('1\n');
    await runtime.close();
  });

  test('faults without a runtime say so', async () => {
    await expect(async () => createFaults().guestPanics('vm')).rejects.toThrow('no open runtime');
  });
});
