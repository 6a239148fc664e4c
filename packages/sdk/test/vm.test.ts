import { createFaults } from '@microvm/in-memory';
import { expect, it } from 'vitest';
import { memoryMicrovm } from './in-memory.js';

it('creates a VM that runs, under a generated id', async () => {
  const { microvm } = await memoryMicrovm();
  const vm = await microvm.create({ memSizeMib: 64 });
  expect(vm.vmId).toMatch(/^vm-[0-9a-f]{16}$/);
  expect(await vm.view()).toMatchObject({ state: 'running', spec: { memSizeMib: 64 } });
});

it('creates a VM under the id that it is given, and leaves it unstarted when asked', async () => {
  const { microvm } = await memoryMicrovm();
  const vm = await microvm.create({ vmId: 'web-1', start: false });
  expect(await vm.view()).toMatchObject({ vmId: 'web-1', state: 'created' });
  expect((await vm.start()).state).toBe('running');
});

it('passes the runtime’s own errors through', async () => {
  const { microvm } = await memoryMicrovm();
  await microvm.create({ vmId: 'web-1' });
  await expect(microvm.create({ vmId: 'web-1' })).rejects.toMatchObject({
    code: 'MICROVM_VM_ALREADY_EXISTS',
  });
  await expect(microvm.create({ vmId: '../x' })).rejects.toMatchObject({
    code: 'MICROVM_INVALID_ARGUMENT',
    details: { path: 'vmId' },
  });
  const misspelt = { memSizeMb: 128 } as object;
  await expect(microvm.create(misspelt)).rejects.toThrow(/did you mean "memSizeMib"/);
  await expect(microvm.create({ start: 'no' as unknown as boolean })).rejects.toMatchObject({
    details: { path: 'spec.start' },
  });
});

it('leaves no VM behind when the boot fails', async () => {
  const faults = createFaults();
  const { microvm, runtime } = await memoryMicrovm({ faults });
  const failure = new Error('no kernel');
  faults.add({ at: 'boot', kind: 'fail', error: failure });
  await expect(microvm.create({ vmId: 'web-1' })).rejects.toMatchObject({ code: 'MICROVM_HOST_FAILURE' });
  expect(await runtime.listVms()).toEqual([]);
});

it('leaves no VM behind when the boot is aborted, and rejects with the signal’s reason', async () => {
  const faults = createFaults();
  const { microvm, runtime } = await memoryMicrovm({ faults });
  const abort = new AbortController();
  const hang = faults.add({ at: 'boot', kind: 'hang' });
  const creation = microvm.create({}, { signal: abort.signal });
  await hang.reached;
  const reason = new Error('changed my mind');
  abort.abort(reason);
  await expect(creation).rejects.toBe(reason);
  expect(await runtime.listVms()).toEqual([]);
});

it('bounds create and boot together by one time limit', async () => {
  const faults = createFaults();
  const { microvm, runtime } = await memoryMicrovm({ faults });
  faults.add({ at: 'boot', kind: 'hang' });
  await expect(microvm.create({}, { timeoutMs: 50 })).rejects.toMatchObject({ code: 'MICROVM_TIMEOUT' });
  expect(await runtime.listVms()).toEqual([]);
});

it('says when a VM that did not start could not be removed either', async () => {
  const faults = createFaults();
  const { microvm } = await memoryMicrovm({ faults });
  faults.add({ at: 'boot', kind: 'fail', error: new Error('no kernel') });
  faults.add({ at: 'release', kind: 'leave', left: ['tap7'] });
  const error: unknown = await microvm.create({ vmId: 'web-1' }).catch((e: unknown) => e);
  expect(error).toMatchObject({
    code: 'MICROVM_HOST_FAILURE',
    cause: { errors: [{ code: 'MICROVM_HOST_FAILURE' }, { code: 'MICROVM_CLEANUP_INCOMPLETE' }] },
  });
  await (await microvm.get('web-1'))?.destroy();
});

it('destroys a VM at the end of its block, its id included', async () => {
  const { microvm, runtime } = await memoryMicrovm();
  {
    await using vm = await microvm.create({ vmId: 'web-1' });
    expect((await vm.view()).state).toBe('running');
  }
  expect(await runtime.listVms()).toEqual([]);
});

it('destroys once, however often it is asked, and remembers the end', async () => {
  const { microvm } = await memoryMicrovm();
  const vm = await microvm.create();
  await Promise.all([vm.destroy(), vm.destroy()]);
  await vm.destroy();
  expect((await vm.view()).state).toBe('destroyed');
  await expect(vm.start()).rejects.toMatchObject({ code: 'MICROVM_VM_NOT_FOUND' });
});

it('can destroy again after a clean-up that was incomplete', async () => {
  const faults = createFaults();
  const { microvm, runtime } = await memoryMicrovm({ faults });
  const vm = await microvm.create();
  faults.add({ at: 'release', kind: 'leave', left: ['tap7'] });
  await expect(vm.destroy()).rejects.toMatchObject({ details: { left: ['tap7'] } });
  await vm.destroy();
  expect(await runtime.listVms()).toEqual([]);
});

it('pauses, resumes, stops and starts', async () => {
  const { microvm } = await memoryMicrovm();
  const vm = await microvm.create();
  expect((await vm.pause()).state).toBe('paused');
  expect((await vm.resume()).state).toBe('running');
  expect(await vm.stop()).toMatchObject({ state: 'stopped', stop: 'graceful' });
  expect((await vm.start()).state).toBe('running');
});

it('follows its VM through a rename, also one by somebody else', async () => {
  const { microvm, runtime } = await memoryMicrovm();
  const vm = await microvm.create({ vmId: 'warm-1' });
  await vm.rename('tenant-7');
  expect(vm.vmId).toBe('tenant-7');
  await runtime.renameVm('tenant-7', 'tenant-8');
  expect((await vm.pause()).vmId).toBe('tenant-8');
  expect(vm.vmId).toBe('tenant-8');
});

it('never reaches a later VM that got the same id', async () => {
  const { microvm } = await memoryMicrovm();
  const first = await microvm.create({ vmId: 'web-1' });
  await first.destroy();
  const second = await microvm.create({ vmId: 'web-1' });
  await expect(first.pause()).rejects.toMatchObject({ code: 'MICROVM_VM_NOT_FOUND' });
  await first.destroy();
  expect((await second.view()).state).toBe('running');
});

it('finds VMs by id and lists those that are there', async () => {
  const { microvm, runtime } = await memoryMicrovm();
  const b = await microvm.create({ vmId: 'b' });
  await microvm.create({ vmId: 'a' });
  await runtime.createVm('gone');
  await runtime.destroyVm('gone');
  expect((await microvm.list()).map(({ vmId }) => vmId)).toEqual(['a', 'b']);
  expect((await microvm.get('b'))?.instanceId).toBe(b.instanceId);
  expect(await microvm.get('c')).toBeUndefined();
  expect(await microvm.get('gone')).toBeUndefined();
});
