import { OWN_JOB_KINDS, type VerbCall, type VmRuntime } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refTo, SNAPSHOT_ID } from '../calls.js';
import { refusal, viewOf, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { canSnapshot } from '../support.js';

/** Calls that come as data, as a control socket or a queue has them. */
export function registerDispatch(fixture: ProviderFixture): void {
  describe('calls as data', () => {
    test('a VM lives by calls that were JSON, and their answers are JSON', () => livesByData(fixture));
    if (canSnapshot(fixture.capabilities, 'created')) {
      test('a snapshot is taken, verified and deleted by calls that were JSON', () =>
        snapshotByData(fixture));
    }
    test('a call as data and the method are the same request under one key', async () => {
      const runtime = await fixture.open();
      const vmId = fixture.newId();
      const options = { idempotencyKey: `key-${vmId}` };
      const { instanceId } = await runtime.dispatch({ verb: 'createVm', args: { vmId, spec: {} }, options });
      expect((await runtime.createVm(vmId, options)).instanceId).toBe(instanceId);
    });
    test.each([...OWN_JOB_KINDS, 'toString', 'nothing'])('"%s" is no verb that can be called', (verb) =>
      isRefused(fixture, { verb, args: {} }, 'verb'),
    );
    test('an argument that the verb does not take is refused by its name', () =>
      isRefused(fixture, { verb: 'startVm', args: { vmId: 'a', vmID: 'a' } }, 'args.vmID'));
    test('arguments that are missing are refused by their name', async () => {
      await isRefused(fixture, { verb: 'startVm', args: {} }, 'vmId');
      await isRefused(fixture, { verb: 'startVm' }, 'args');
    });
  });
}

function throughJson<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

async function dispatch<C extends VerbCall>(runtime: VmRuntime, call: C): Promise<unknown> {
  const answer = await runtime.dispatch(throughJson(call));
  if (answer !== undefined) expect(throughJson(answer)).toEqual(answer);
  return answer;
}

async function livesByData(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  const created = await dispatch(runtime, { verb: 'createVm', args: { vmId, spec: fixture.spec() } });
  expect(created).toEqual(await viewOf(runtime, vmId));
  const started = await dispatch(runtime, {
    verb: 'startVm',
    args: { vmId },
    options: { timeoutMs: 60_000 },
  });
  expect(started).toEqual(await viewOf(runtime, vmId));
  expect(started).toMatchObject({ state: 'running' });
  const destroyed = await dispatch(runtime, { verb: 'destroyVm', args: { vmId } });
  expect(destroyed).toEqual(await viewOf(runtime, vmId));
  expect(await dispatch(runtime, { verb: 'forgetVm', args: { vmId } })).toBeUndefined();
  expect(await runtime.getVm(vmId)).toBeUndefined();
}

async function snapshotByData(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('created');
  const runtime = await fixture.open();
  const taken = await dispatch(runtime, { verb: 'snapshotVm', args: { vmId, snapshotId: SNAPSHOT_ID } });
  expect(taken).toEqual(await runtime.describeSnapshot(refTo(vmId)));
  expect(await dispatch(runtime, { verb: 'verifySnapshot', args: { snapshot: refTo(vmId) } })).toEqual(taken);
  await dispatch(runtime, { verb: 'deleteSnapshot', args: { snapshot: refTo(vmId) } });
  expect(await runtime.listSnapshots(vmId)).toEqual([]);
}

async function isRefused(fixture: ProviderFixture, call: unknown, path: string): Promise<void> {
  const runtime = await fixture.open();
  const error = await withoutEffect(runtime, () =>
    refusal('MICROVM_INVALID_ARGUMENT', runtime.dispatch(call as VerbCall)),
  );
  expect(error.details.path).toBe(path);
}
