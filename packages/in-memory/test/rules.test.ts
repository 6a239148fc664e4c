import { AssertionError } from 'node:assert';
import type { DriverVm } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { capabilitiesOf } from '../src/driver/capabilities.js';
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

type Act = (harness: Harness, vm: DriverVm) => Promise<unknown>;

const METHODS = {
  prepare: ({ driver }, vm) => driver.prepare(vm, makeRun()),
  boot: ({ driver }, vm) => driver.boot(vm, makeRun()),
  pause: ({ driver }, vm) => driver.pausing!.pause(vm, makeRun()),
  resume: ({ driver }, vm) => driver.pausing!.resume(vm, 'pause', makeRun()),
  shutdown: ({ driver }, vm) => driver.shutdown(vm, makeRun()),
  halt: ({ driver }, vm) => driver.halt(vm),
  'capture with memory': ({ driver }, vm) => driver.snapshots!.capture(vm, makeTarget(true), makeRun()),
  'capture of disks': ({ driver }, vm) => driver.snapshots!.capture(vm, makeTarget(false), makeRun()),
  restore: async (harness, vm) => {
    const source = await snapshotOf(harness.driver, await runningVm(harness.driver));
    return harness.driver.snapshots!.restore(vm, source, makeRun());
  },
  release: ({ driver }, vm) => driver.release(vm),
  adopt: ({ driver }, vm) => driver.adopt(vm, makeRun()),
} as const satisfies Record<string, Act>;

type Method = keyof typeof METHODS;

const CONDITIONS = {
  absent: async () => undefined,
  cold: METHODS.prepare,
  running: async (harness, vm) => {
    await METHODS.prepare(harness, vm);
    await METHODS.boot(harness, vm);
  },
  paused: async (harness, vm) => {
    await CONDITIONS.running(harness, vm);
    await METHODS.pause(harness, vm);
  },
  booting: async (harness, vm) => {
    await METHODS.prepare(harness, vm);
    harness.faults.add({ at: 'boot:started', kind: 'fail', error: new Error('planted') });
    await METHODS.boot(harness, vm).catch(() => undefined);
  },
  incomplete: async (harness, vm) => {
    harness.faults.add({ at: 'prepare', kind: 'fail', error: new Error('planted') });
    await METHODS.prepare(harness, vm).catch(() => undefined);
  },
} as const satisfies Record<string, Act>;

/** The interface's own words, pair by pair; whatever is not here is forbidden. */
const ALLOWED: Readonly<Record<keyof typeof CONDITIONS, readonly Method[]>> = {
  absent: ['prepare', 'restore', 'halt', 'release', 'adopt'],
  cold: ['boot', 'halt', 'capture of disks', 'release', 'adopt'],
  running: ['pause', 'resume', 'shutdown', 'halt', 'release', 'adopt'],
  paused: ['pause', 'resume', 'capture with memory', 'halt', 'release', 'adopt'],
  booting: ['halt', 'release'],
  incomplete: ['halt', 'release'],
};

async function outcome(call: Promise<unknown>): Promise<'allowed' | 'forbidden'> {
  try {
    await call;
    return 'allowed';
  } catch (error) {
    if (error instanceof AssertionError) return 'forbidden';
    throw error;
  }
}

for (const [name, arrange] of Object.entries(CONDITIONS) as [keyof typeof CONDITIONS, Act][]) {
  describe(`a VM that is ${name}`, () => {
    test.each(Object.keys(METHODS) as Method[])('%s', async (method) => {
      const harness = await openDriver();
      const vm = makeVm(harness.driver);
      await arrange(harness, vm);
      const isAllowed = ALLOWED[name].includes(method);
      expect(await outcome(METHODS[method](harness, vm))).toBe(isAllowed ? 'allowed' : 'forbidden');
      expect(harness.breaches).toHaveLength(isAllowed ? 0 : 1);
    });
  });
}

describe('turns', () => {
  const unready = { boot: () => new Promise<void>(() => undefined) };

  test('two methods at once on one VM are forbidden, whatever they are', async () => {
    for (const method of ['pause', 'halt', 'release', 'shutdown', 'adopt'] as const) {
      const harness = await openDriver({ guest: unready });
      const vm = makeVm(harness.driver);
      await METHODS.prepare(harness, vm);
      const abort = new AbortController();
      const booting = harness.driver.boot(vm, makeRun(abort.signal)).catch(() => undefined);
      expect(await outcome(METHODS[method](harness, vm)), method).toBe('forbidden');
      abort.abort();
      await booting;
    }
  });

  test('methods on several VMs go at once', async () => {
    const harness = await openDriver();
    const vms = Array.from({ length: 20 }, () => makeVm(harness.driver));
    await Promise.all(vms.map((vm) => METHODS.prepare(harness, vm)));
    await Promise.all(vms.map((vm) => METHODS.boot(harness, vm)));
    expect((await harness.driver.survey()).size).toBe(20);
  });

  test('a method that was given up has no effect when it goes on after all', async () => {
    const harness = await openDriver();
    const vm = await runningVm(harness.driver);
    const hang = harness.faults.add({ at: 'pause', kind: 'hang', ignoresSignal: true });
    const abort = new AbortController();
    const pausing = harness.driver.pausing!.pause(vm, makeRun(abort.signal));
    await hang.reached;
    abort.abort();
    await harness.driver.halt(vm);
    await harness.driver.boot(vm, makeRun());
    hang.remove();
    await expect(pausing).rejects.toThrow(/given up/);
    expect(await harness.driver.adopt(vm, makeRun())).toEqual({ state: 'running' });
    expect(harness.breaches).toEqual([]);
  });
});

describe('other rules', () => {
  test('a restored guest must be repaired before it runs', async () => {
    const harness = await openDriver();
    const vm = makeVm(harness.driver);
    await METHODS.restore(harness, vm);
    expect(await outcome(METHODS.resume(harness, vm))).toBe('forbidden');
    await harness.driver.pausing!.resume(vm, 'restore', makeRun());
  });

  test('a VM comes with the plan that was made for it', async () => {
    const harness = await openDriver();
    const vm = { ...makeVm(harness.driver), plan: makeVm(harness.driver).plan };
    expect(await outcome(METHODS.prepare(harness, vm))).toBe('forbidden');
  });

  test('nothing comes before open or after close, and open comes once', async () => {
    const harness = await openDriver();
    const vm = makeVm(harness.driver);
    expect(await outcome(harness.driver.open({ ended: () => undefined }))).toBe('forbidden');
    await harness.driver.close();
    expect(await outcome(METHODS.prepare(harness, vm))).toBe('forbidden');
    expect(await outcome(harness.driver.survey())).toBe('forbidden');
  });

  test('what is switched off is not there, and a kind of snapshot that is switched off is never taken', async () => {
    const off = { guestAgent: false, console: false, metrics: false, memorySnapshot: false } as const;
    const harness = await openDriver({ capabilities: capabilitiesOf(off, false) });
    const { guestAgent, console, metering } = harness.driver;
    expect({ guestAgent, console, metering }).toEqual({});
    const vm = await runningVm(harness.driver);
    await METHODS.pause(harness, vm);
    expect(await outcome(METHODS['capture with memory'](harness, vm))).toBe('forbidden');
    const still = capabilitiesOf({ pause: false, memorySnapshot: false, diskSnapshot: false }, false);
    const { pausing, snapshots } = (await openDriver({ capabilities: still })).driver;
    expect({ pausing, snapshots }).toEqual({});
  });

  test('without concurrent restores a second live VM of a snapshot is refused, a later one is not', async () => {
    const capabilities = capabilitiesOf({ concurrentRestores: false }, false);
    const { driver } = await openDriver({ capabilities });
    const origin = await runningVm(driver);
    const target = makeTarget(true);
    await driver.pausing!.pause(origin, makeRun());
    const source = sourceOf(target, await driver.snapshots!.capture(origin, target, makeRun()));
    const [first, second] = [makeVm(driver), makeVm(driver)];
    await driver.snapshots!.restore(first, source, makeRun());
    await expect(driver.snapshots!.checkSnapshot(source, second.spec)).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
    });
    await expect(driver.snapshots!.restore(second, source, makeRun())).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
    });
    await driver.release(second);
    await driver.halt(first);
    await driver.snapshots!.restore(second, source, makeRun());
  });
});
