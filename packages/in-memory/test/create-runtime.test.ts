import { isVmRuntimeError, type VmEvent } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import {
  createFaults,
  createInMemoryRuntime,
  createVirtualClock,
  IN_MEMORY_SETTINGS,
  type InMemoryOptions,
} from '../src/index.js';

describe('options', () => {
  test.each([
    [{ latency: 5 }, 'options.latency', 'latencyMs'],
    [{ latencyMs: -1 }, 'options.latencyMs', ''],
    [{ latencyMs: { boots: 1 } }, 'options.latencyMs.boots', 'no such key'],
    [{ clock: {} }, 'options.clock', 'a Clock'],
    [{ faults: 'boot' }, 'options.faults', ''],
    [{ faults: [{ at: 'boots', kind: 'fail', error: new Error('x') }] }, 'fault.at', 'boot'],
    [{ guest: { execs: () => 0 } }, 'options.guest', 'boot, exec, programs, serverAt, shutdown'],
    [{ guest: { exec: 'x' } }, 'options.guest', ''],
    [{ capabilities: { paus: false } }, 'options.capabilities.paus', 'pause'],
    [{ capabilities: { durable: true } }, 'options.capabilities.durable', ''],
    [{ capabilities: { limits: { maxVcpuCount: 0 } } }, 'options.capabilities.limits.maxVcpuCount', ''],
    [{ world: {} }, 'options.world', 'createWorld'],
    [{ stateDir: 'relative' }, 'options.stateDir', 'absolute'],
    [{ cpuModel: '' }, 'options.cpuModel', ''],
  ])('%j is refused', async (options, path, hint) => {
    const error: unknown = await createInMemoryRuntime(options as InMemoryOptions).catch((e: unknown) => e);
    if (!isVmRuntimeError(error, 'MICROVM_INVALID_ARGUMENT')) throw error;
    expect(error.details.path).toBe(path);
    expect(error.details.expected).toContain(hint);
  });

  test('every option of its own is in the list of settings, or is code', async () => {
    const documented = IN_MEMORY_SETTINGS.map(({ option }) => option);
    expect(documented).toEqual(
      expect.arrayContaining(['stateDir', 'latencyMs', 'capabilities', 'hostFiles', 'images']),
    );
    expect(new Set(documented).size).toBe(documented.length);
  });

  test('abilities that are switched off are off, and the others on', async () => {
    const runtime = await createInMemoryRuntime({
      capabilities: { pause: false, spec: { jail: false }, limits: { maxVcpuCount: 4 } },
    });
    const { capabilities } = runtime;
    expect(capabilities).toMatchObject({ pause: false, rename: true, durable: false, adoption: false });
    expect(capabilities.spec).toMatchObject({ jail: false, vsock: true });
    expect(capabilities.limits.maxVcpuCount).toBe(4);
    await runtime.close();
  });

  test('a list of faults is as good as a controller', async () => {
    const error = new Error('planted');
    const runtime = await createInMemoryRuntime({ faults: [{ at: 'prepare', kind: 'fail', error }] });
    await expect(runtime.createVm('vm')).rejects.toMatchObject({ cause: error });
    await runtime.close();
  });
});

describe('virtual time', () => {
  test('latency is of the clock alone, by method', async () => {
    const clock = createVirtualClock();
    const runtime = await createInMemoryRuntime({ clock, latencyMs: { prepare: 100, boot: 1500 } });
    const startMs = clock.now();
    const ended: number[] = [];
    const life = (async () => {
      await runtime.createVm('vm');
      ended.push(clock.now() - startMs);
      await runtime.startVm('vm');
      ended.push(clock.now() - startMs);
    })();
    await clock.advance(99);
    expect(ended).toEqual([]);
    await clock.advance(10_000);
    await life;
    expect(ended).toEqual([100, 1600]);
    await runtime.close();
  });

  test('one number is the latency of every method', async () => {
    const clock = createVirtualClock();
    const runtime = await createInMemoryRuntime({ clock, latencyMs: 10 });
    const creation = runtime.createVm('vm');
    await clock.advance(1000);
    const { changedAt, createdAt } = await creation;
    expect(Date.parse(changedAt)).toBeGreaterThanOrEqual(Date.parse(createdAt));
    const stuck = runtime.startVm('vm', { timeoutMs: 5 }).catch((error: unknown) => error);
    await clock.advance(1000);
    expect(await stuck).toMatchObject({ code: 'MICROVM_TIMEOUT' });
    expect((await runtime.getVm('vm'))?.state).toBe('created');
    await runtime.close();
  });

  test('times in views are those of the clock', async () => {
    const clock = createVirtualClock({ nowMs: Date.UTC(2030, 0, 1) });
    const runtime = await createInMemoryRuntime({ clock });
    const { createdAt } = await runtime.createVm('vm');
    expect(createdAt).toBe('2030-01-01T00:00:00.000Z');
    await runtime.close();
  });
});

describe('a thousand VMs', () => {
  test('have no timer, no stream and no agent while nobody talks to them', async () => {
    const clock = createVirtualClock();
    const runtime = await createInMemoryRuntime({ clock });
    const ids = Array.from({ length: 1000 }, (_, index) => `vm-${index}`);
    const before = process.getActiveResourcesInfo().length;
    await Promise.all(ids.map((vmId) => runtime.createVm(vmId)));
    await Promise.all(ids.map((vmId) => runtime.startVm(vmId)));
    expect(clock.pending).toBe(0);
    expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(before + 1);
    expect((await runtime.listVms()).every(({ state }) => state === 'running')).toBe(true);
    await runtime.close();
  });
});

test('an end of a guest is an event, with what it wrote last', async () => {
  const faults = createFaults();
  const runtime = await createInMemoryRuntime({ faults });
  await runtime.createVm('vm');
  await runtime.startVm('vm');
  const abort = new AbortController();
  const events = runtime.events({ signal: abort.signal })[Symbol.asyncIterator]();
  const next = events.next();
  await faults.guestPanics('vm');
  const event = (await next).value as VmEvent;
  expect(event).toMatchObject({ type: 'vm-state', to: 'crashed', ending: { reason: 'panic' } });
  if (event.type !== 'vm-state') throw new Error('not a vm-state');
  expect(event.ending?.lastLogLines.at(-1)).toMatch(/^Kernel panic/);
  abort.abort();
  await runtime.close();
});
