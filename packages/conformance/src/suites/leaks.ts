import { describe, expect, test } from 'vitest';
import { LIFECYCLE_STEPS, type VmRuntime } from '@microvm/runtime';
import { refusal } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { childProcesses, filesOfVms, openDescriptors, processesUsing } from '../footprint.js';

/** What is left behind: nothing. */
export function registerLeaks(fixture: ProviderFixture): void {
  describe('left-overs', () => {
    test('a VM that was destroyed and forgotten leaves no descriptor, no process, no file', () =>
      leavesNothing(fixture));
    test('a create that was aborted leaves no descriptor, no process, no file', () =>
      abortedLeavesNothing(fixture));
    test('calls that were refused leave no descriptor, no process, no file', () =>
      refusedLeavesNothing(fixture));
    test('a runtime that was closed leaves no descriptor and no process', () => closedLeavesNothing(fixture));
  });
}

interface Footprint {
  readonly descriptors: readonly string[];
  readonly children: readonly number[];
  readonly using: readonly number[];
  readonly files: readonly string[];
}

/**
 * What the shared runtime holds of the host. The numbers of sockets and pipes differ each time, so only their
 * count is compared.
 */
async function footprint(fixture: ProviderFixture): Promise<Footprint> {
  const stateDir = fixture.isDurable ? fixture.stateDir : undefined;
  const files = stateDir === undefined ? [] : await filesOfVms(stateDir);
  return {
    descriptors: (await openDescriptors()).map((link) => link.replace(/\d+/g, 'N')).sort(),
    children: await childProcesses(),
    using: stateDir === undefined ? [] : await processesUsing(stateDir),
    files,
  };
}

/**
 * Runs an action that should leave nothing, and waits until nothing is left: descriptors are closed in the
 * background.
 */
async function expectNoTrace(
  fixture: ProviderFixture,
  action: (runtime: VmRuntime) => Promise<void>,
): Promise<void> {
  const runtime = await fixture.open();
  const before = await footprint(fixture);
  await action(runtime);
  await fixture.eventually(async () => expect(await footprint(fixture)).toEqual(before));
}

/** A VM's whole life, with a snapshot and a guest that was talked to. */
async function wholeLife(fixture: ProviderFixture): Promise<void> {
  const { memorySnapshot, guestAgent, console } = fixture.capabilities;
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  if (guestAgent) await (await runtime.guest(vmId)).ping();
  if (console) for await (const _ of runtime.consoleVm(vmId)) break;
  const snapshot = memorySnapshot ? await runtime.snapshotVm(vmId, 'taken') : undefined;
  await runtime.stopVm(vmId);
  await runtime.destroyVm(vmId);
  await runtime.forgetVm(vmId);
  if (snapshot !== undefined) await runtime.deleteSnapshot({ snapshotUid: snapshot.snapshotUid });
}

async function leavesNothing(fixture: ProviderFixture): Promise<void> {
  await wholeLife(fixture); // what is opened once and kept, such as a cache, is there before the count
  await expectNoTrace(fixture, () => wholeLife(fixture));
}

async function abortedLeavesNothing(fixture: ProviderFixture): Promise<void> {
  const { memorySnapshot } = fixture.capabilities;
  const restoreFrom = memorySnapshot
    ? { snapshotUid: (await fixture.golden()).snapshot.snapshotUid }
    : undefined;
  const spec = restoreFrom === undefined ? fixture.spec() : { restoreFrom };
  await expectNoTrace(fixture, async (runtime) => {
    const isOfDriver = (step: string): boolean => !LIFECYCLE_STEPS.createVm.includes(step);
    for (const step of ['createVm:intent', isOfDriver]) {
      const abort = new AbortController();
      fixture.gates.once(step, () => abort.abort('enough'));
      const call = runtime.createVmWithSpec(fixture.newId(), spec, { signal: abort.signal });
      await expect(call).rejects.toBe('enough');
    }
  });
}

async function refusedLeavesNothing(fixture: ProviderFixture): Promise<void> {
  await expectNoTrace(fixture, async (runtime) => {
    await refusal('MICROVM_INVALID_ARGUMENT', runtime.createVmWithSpec('a', { vcpuCount: 0 }));
    await refusal('MICROVM_VM_NOT_FOUND', runtime.startVm('a'));
    const restoreFrom = { snapshotUid: '0'.repeat(32) };
    await refusal('MICROVM_SNAPSHOT_NOT_FOUND', runtime.createVmWithSpec('a', { restoreFrom }));
  });
}

async function closedLeavesNothing(fixture: ProviderFixture): Promise<void> {
  await expectNoTrace(fixture, async () => {
    const runtime = await fixture.fresh();
    const { vmId } = await fixture.arrangeIn(runtime, 'created');
    for await (const _ of runtime.events({ signal: AbortSignal.abort() })) break;
    await runtime.destroyVm(vmId);
    await runtime.close();
  });
}
