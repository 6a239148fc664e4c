import { setTimeout as delay } from 'node:timers/promises';
import { LIFECYCLE_STEPS } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { JOB_CALLS } from '../calls.js';
import { refusal, stateOf, viewOf } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { arrangeFor, intentOf, traitsOf, type Trait } from '../traits.js';

const timeoutMs = 40;

const ENGINE_STEPS = new Set(Object.values(LIFECYCLE_STEPS).flat());

/** Every operation ends by its deadline, in the state that the contract names. */
export function registerDeadlines(fixture: ProviderFixture): void {
  describe('deadlines', () => {
    for (const trait of traitsOf(fixture).filter(({ method }) => intentOf(method) !== undefined)) {
      test(`${trait.method} that takes longer than timeoutMs is undone`, () => timesOut(fixture, trait));
    }
    test('timeoutMs counts the time in which a call waits for its turn', () => countsWaiting(fixture));
    test('operationTimeoutMs is the deadline of a call that names none', () => appliesDefault(fixture));
    test('a VM stuck in boot is crashed and unresponsive, and can be destroyed', () =>
      givesUpStuckBoot(fixture));
  });
}

async function timesOut(fixture: ProviderFixture, trait: Trait): Promise<void> {
  const vmId = await arrangeFor(fixture, trait);
  const runtime = await fixture.open();
  fixture.gates.once(intentOf(trait.method) ?? '', () => delay(3 * timeoutMs));
  const error = await refusal('MICROVM_TIMEOUT', JOB_CALLS[trait.method](runtime, vmId, { timeoutMs }));
  expect(error.details.timeoutMs).toBe(timeoutMs);
  expect(trait.aborted).toContain(await stateOf(runtime, vmId));
  expect((await runtime.getVm(vmId))?.operation).toBeUndefined();
}

async function countsWaiting(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const hold = fixture.gates.hold('stopVm:intent');
  const first = runtime.stopVm(vmId);
  await hold.reached;
  await refusal('MICROVM_TIMEOUT', runtime.destroyVm(vmId, { timeoutMs }));
  expect((await viewOf(runtime, vmId)).operation?.kind).toBe('stopVm');
  hold.release();
  expect((await first).state).toBe('stopped');
}

async function appliesDefault(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.fresh({ operationTimeoutMs: timeoutMs });
  fixture.gates.once('createVm:intent', () => delay(3 * timeoutMs));
  const vmId = fixture.newId();
  const error = await refusal('MICROVM_TIMEOUT', runtime.createVmWithSpec(vmId, fixture.spec()));
  expect(error.details.timeoutMs).toBe(timeoutMs);
  expect(await runtime.getVm(vmId)).toBeUndefined();
}

async function givesUpStuckBoot(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.fresh({ abortGraceMs: fixture.deadline(200) });
  const { vmId } = await fixture.arrangeIn(runtime, 'created');
  const hold = fixture.gates.hold((step) => !ENGINE_STEPS.has(step));
  const stuck = refusal('MICROVM_TIMEOUT', runtime.startVm(vmId, { timeoutMs: fixture.deadline(500) }));
  await Promise.race([hold.reached, stuck]);
  await stuck;
  const view = await viewOf(runtime, vmId);
  expect(view).toMatchObject({ state: 'crashed', ending: { reason: 'unresponsive' } });
  hold.release();
  expect((await runtime.destroyVm(vmId)).state).toBe('destroyed');
}
