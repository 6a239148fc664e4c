import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { createInMemoryRuntime } from '../src/index.js';

/** What was loaded as native code since the test began. */
function watchLoads(): () => string[] {
  const spy = vi.spyOn(process, 'dlopen');
  onTestFinished(() => spy.mockRestore());
  return () => spy.mock.calls.map(([, filename]) => filename);
}

test('without a state directory no native code is loaded', async () => {
  const loads = watchLoads();
  const runtime = await createInMemoryRuntime();
  expect(runtime.capabilities.durable).toBe(false);
  await runtime.createVm('vm');
  await runtime.startVm('vm');
  await (await runtime.guest('vm')).exec({ argv: ['true'], input: '' }).result;
  const { snapshotUid } = await runtime.snapshotVm('vm', 'snap');
  await runtime.createVmWithSpec('clone', { restoreFrom: { snapshotUid } });
  await runtime.destroyVm('vm');
  await runtime.close();
  expect(loads()).toEqual([]);
});

test('with a state directory the addon is loaded', async () => {
  const loads = watchLoads();
  const stateDir = await mkdtemp(join(tmpdir(), 'microvm-in-memory-'));
  try {
    const runtime = await createInMemoryRuntime({ stateDir });
    expect(runtime.capabilities.durable).toBe(true);
    await runtime.close();
    expect(loads()).toEqual([expect.stringMatching(/\.node$/)]);
  } finally {
    await rm(stateDir, { recursive: true, force: true });
  }
});
