import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openForTest } from '@microvm/conformance';
import { resolveVmSpec, type DriverVm, type Run, type VmRuntime } from '@microvm/runtime';
import { expect, it, onTestFinished } from 'vitest';
import { MinimalDriver } from '../src/index.js';
import { askVmm, minimalFactory } from './factory.js';

async function consoleOf(runtime: VmRuntime, vmId: string): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of runtime.consoleVm(vmId)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

it('restores a guest that goes on from where it was, as often as wanted', async () => {
  const runtime = await openForTest((stateDir) => minimalFactory.open({ stateDir }));
  await runtime.createVm('a');
  await runtime.startVm('a');
  await askVmm(runtime, 'a', '/guest/count', {});
  await runtime.snapshotVm('a', 's');
  await askVmm(runtime, 'a', '/guest/count', {});
  for (const vmId of ['b', 'c']) {
    await runtime.createVmWithSpec(vmId, { restoreFrom: { vmId: 'a', snapshotId: 's' } });
    await askVmm(runtime, vmId, '/guest/count', {});
    expect(await consoleOf(runtime, vmId)).toBe('count 2\n');
  }
});

it('rejects, and never throws, what is asked of a VM whose VMM is not there', async () => {
  const stateDir = await mkdtemp(join(tmpdir(), 'minimal-driver-'));
  onTestFinished(() => rm(stateDir, { recursive: true }));
  const driver = new MinimalDriver({ stateDir, probe: () => Promise.reject(new Error('not asked for')) });
  const spec = resolveVmSpec({}, {});
  const vm: DriverVm = {
    instanceId: '0'.repeat(32),
    vmId: 'a',
    spec,
    plan: await driver.plan({
      instanceId: '0'.repeat(32),
      vmId: 'a',
      spec,
      directory: stateDir,
      source: undefined,
    }),
    directory: stateDir,
    vmm: undefined,
    settings: undefined,
  };
  const run: Run = { signal: new AbortController().signal, progress: () => {}, step: async () => {} };
  const calls = [
    () => driver.pausing.pause(vm, run),
    () => driver.pausing.resume(vm, 'pause', run),
    () => driver.shutdown(vm, run),
  ];
  const refusals = calls.map((call) => call().catch((error: unknown) => error));
  for (const refusal of refusals) expect(await refusal).toMatchObject({ code: 'MICROVM_VMM_EXITED' });
});
