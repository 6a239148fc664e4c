import { createInMemoryRuntime } from '@microvm/in-memory';
import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { createMicrovm } from '../src/index.js';

afterEach(() => {
  vi.unstubAllEnvs();
});

it('opens one runtime at the first call and shares it from then on', async () => {
  await using microvm = createMicrovm({ driver: 'in-memory' });
  const [first, second] = await Promise.all([microvm.runtime(), microvm.runtime()]);
  expect(second).toBe(first);
  const vm = await microvm.create({ vmId: 'web-1' });
  expect((await first.getVm('web-1'))?.instanceId).toBe(vm.instanceId);
});

it('takes the driver from the option, else from the environment, and says which it was', async () => {
  vi.stubEnv('MICROVM_DRIVER', 'in-memory');
  await using byEnvironment = createMicrovm();
  expect(await byEnvironment.driver()).toMatchObject({
    driver: 'in-memory',
    reason: 'asked for by MICROVM_DRIVER',
    reports: [{ driver: 'in-memory', usable: true }],
  });
  vi.stubEnv('MICROVM_DRIVER', 'vmware');
  await using byOption = createMicrovm({ driver: 'in-memory' });
  expect((await byOption.driver()).reason).toBe('asked for by the driver option');
});

it('refuses a driver that does not exist, and works once that is corrected', async () => {
  await using microvm = createMicrovm();
  vi.stubEnv('MICROVM_DRIVER', 'vmware');
  await expect(microvm.create()).rejects.toMatchObject({
    code: 'MICROVM_INVALID_ARGUMENT',
    details: { path: 'MICROVM_DRIVER' },
  });
  vi.stubEnv('MICROVM_DRIVER', 'in-memory');
  expect((await (await microvm.create()).view()).state).toBe('running');
});

it('refuses options that do not exist', async () => {
  const misspelt = { drivr: 'in-memory' } as object;
  await expect(createMicrovm(misspelt).list()).rejects.toThrow(/did you mean "driver"/);
});

it('passes the options of the runtime on', async () => {
  await using microvm = createMicrovm({ driver: 'in-memory', defaults: { memSizeMib: 64 } });
  expect((await (await microvm.create()).view()).spec.memSizeMib).toBe(64);
});

it('closes what it opened, and opens anew when it is used again', async () => {
  const microvm = createMicrovm({ driver: 'in-memory' });
  const first = await microvm.runtime();
  await microvm.close();
  await microvm.close();
  await expect(first.listVms()).rejects.toMatchObject({ code: 'MICROVM_CLOSED' });
  expect(await microvm.list()).toEqual([]);
  expect(await microvm.runtime()).not.toBe(first);
  await microvm.close();
});

it('uses a runtime that it is given, says so, and never closes it', async () => {
  const runtime = await createInMemoryRuntime();
  onTestFinished(() => runtime.close());
  const microvm = createMicrovm({ runtime });
  expect(await microvm.runtime()).toBe(runtime);
  expect((await microvm.driver()).reason).toBe('the runtime that was given');
  await microvm.close();
  expect(await runtime.listVms()).toEqual([]);
});

it('changes to another runtime with use, while earlier VMs stay with theirs', async () => {
  await using microvm = createMicrovm({ driver: 'in-memory' });
  const early = await microvm.create({ vmId: 'early' });
  const runtime = await createInMemoryRuntime();
  onTestFinished(() => runtime.close());
  microvm.use(runtime);
  await microvm.create({ vmId: 'late' });
  expect((await microvm.list()).map(({ vmId }) => vmId)).toEqual(['late']);
  expect((await early.pause()).state).toBe('paused');
});
