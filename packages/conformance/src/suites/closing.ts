import { describe, expect, test } from 'vitest';
import { JOB_CALLS, OTHER_QUERIES, readAll, VM_QUERIES, type Call } from '../calls.js';
import { refusal } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

/** The end of a runtime, and who may open its state. */
export function registerClosing(fixture: ProviderFixture): void {
  describe('closing', () => {
    for (const [method, call] of Object.entries<Call>({ ...JOB_CALLS, ...VM_QUERIES, ...OTHER_QUERIES })) {
      test(`after close() ${method} is refused`, async () => {
        const runtime = await fixture.fresh();
        await runtime.close();
        const error = await refusal('MICROVM_CLOSED', call(runtime, 'any'));
        expect(error.details.what).not.toBe('');
      });
    }
    test('close() may be called again, also while it is at work', () => closesOnce(fixture));
    test('close() waits for what is in flight, and refuses what comes after', () => waitsForFlights(fixture));
    test('close() ends the readers of events, once they have read all', () => endsReaders(fixture));
    test('a runtime can be disposed of with await using', async () => {
      const runtime = await fixture.fresh();
      await runtime[Symbol.asyncDispose]();
      await refusal('MICROVM_CLOSED', runtime.listVms());
    });
    if (fixture.isDurable) registerOwnership(fixture);
  });
}

async function closesOnce(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.fresh();
  await fixture.arrangeIn(runtime, 'created');
  await Promise.all([runtime.close(), runtime.close()]);
  await runtime.close();
}

async function waitsForFlights(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.fresh();
  const order: string[] = [];
  const hold = fixture.gates.hold('createVm:intent');
  const creation = runtime.createVmWithSpec(fixture.newId(), fixture.spec()).then((view) => {
    order.push('created');
    return view;
  });
  await hold.reached;
  const closing = runtime.close().then(() => order.push('closed'));
  await refusal('MICROVM_CLOSED', runtime.createVmWithSpec(fixture.newId(), fixture.spec()));
  expect(order).toEqual([]);
  hold.release();
  expect((await creation).state).toBe('created');
  await closing;
  expect(order).toEqual(['created', 'closed']);
}

async function endsReaders(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.fresh();
  const events = runtime.events();
  const { vmId } = await fixture.arrangeIn(runtime, 'created');
  await runtime.close();
  const states = (await readAll(events)).flatMap((event) =>
    event.type === 'vm-state' ? [[event.vmId, event.to]] : [],
  );
  expect(states[0]).toEqual([vmId, 'created']);
}

function registerOwnership(fixture: ProviderFixture): void {
  test('a state directory has one owner at a time', async () => {
    const { runtime, stateDir = '' } = await fixture.freshWithDirectory();
    const { vmId } = await fixture.arrangeIn(runtime, 'created');
    const before = await runtime.listVms();
    const error = await refusal('MICROVM_STATE_LOCKED', fixture.openAgain(stateDir));
    expect(error.details).toMatchObject({ stateDir, pid: process.pid });
    expect(await runtime.listVms(), 'the owner is not disturbed').toEqual(before);
    await runtime.close();
    const next = await fixture.openAgain(stateDir);
    expect((await next.listVms()).map((view) => view.vmId)).toEqual([vmId]);
  });
}
