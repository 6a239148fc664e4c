import { describe, expect, test } from 'vitest';
import { JOB_CALLS } from '../calls.js';
import { outcomes, refusal, rejection, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { arrangeFor, middleOf, traitsOf, type Trait } from '../traits.js';

/** Keys belong to the runtime, which the tests share: each test has its own. */
function newKey(fixture: ProviderFixture): string {
  return `order-${fixture.newId()}`;
}

/** What the same key with the same, or another, request comes to. */
export function registerIdempotency(fixture: ProviderFixture): void {
  describe('idempotency keys', () => {
    for (const trait of traitsOf(fixture)) {
      test(`${trait.method} with the key of a call that succeeded answers with its outcome`, () =>
        replays(fixture, trait));
      if (middleOf(trait.method) === undefined) continue;
      test(`${trait.method} with the key of a call in flight joins it`, () => joins(fixture, trait));
    }
    test('a call that failed fails again under its key, with the same code', () => replaysFailure(fixture));
    test('a key belongs to one verb', () => conflictsOverVerb(fixture));
    test('a key belongs to one VM', () => conflictsOverVm(fixture));
    test('a key belongs to one spec', () => conflictsOverSpec(fixture));
    test('a call that joined another waits no longer than its own deadline', () => joinsInTime(fixture));
    test('the abort of a call that joined does not abort the one it joined', () => abortsJoined(fixture));
    test('a call that was aborted can be made again under its key', () => retriesAborted(fixture));
    test('without a key the same call is another call', () => repeatsWithoutKey(fixture));
    if (fixture.isDurable) test('a key survives a restart', () => survivesRestart(fixture));
  });
}

async function replays(fixture: ProviderFixture, trait: Trait): Promise<void> {
  const idempotencyKey = newKey(fixture);
  const vmId = await arrangeFor(fixture, trait);
  const runtime = await fixture.open();
  const call = JOB_CALLS[trait.method];
  const first = await call(runtime, vmId, { idempotencyKey });
  const jobs = await runtime.listJobs();
  const second = await withoutEffect(runtime, () => call(runtime, vmId, { idempotencyKey }));
  expect(second).toEqual(first);
  expect(await runtime.listJobs(), 'no second job').toEqual(jobs);
}

async function joins(fixture: ProviderFixture, trait: Trait): Promise<void> {
  const idempotencyKey = newKey(fixture);
  const vmId = await arrangeFor(fixture, trait);
  const runtime = await fixture.open();
  const call = JOB_CALLS[trait.method];
  const hold = fixture.gates.hold(middleOf(trait.method) ?? '');
  const first = call(runtime, vmId, { idempotencyKey });
  await hold.reached;
  const second = call(runtime, vmId, { idempotencyKey });
  hold.release();
  expect(await second).toEqual(await first);
  expect(
    (await runtime.listJobs()).filter((job) => job.idempotencyKey === idempotencyKey).length,
  ).toBeLessThan(2);
}

async function joinsInTime(fixture: ProviderFixture): Promise<void> {
  const idempotencyKey = newKey(fixture);
  const vmId = fixture.newId();
  const runtime = await fixture.open();
  const hold = fixture.gates.hold('createVm:intent');
  const first = runtime.createVmWithSpec(vmId, fixture.spec(), { idempotencyKey });
  await hold.reached;
  const options = { idempotencyKey, timeoutMs: 1 };
  const error = await refusal('MICROVM_TIMEOUT', runtime.createVmWithSpec(vmId, fixture.spec(), options));
  expect(error.details.timeoutMs).toBe(1);
  hold.release();
  expect((await first).state).toBe('created');
}

async function replaysFailure(fixture: ProviderFixture): Promise<void> {
  const idempotencyKey = newKey(fixture);
  const { vmId } = await fixture.arrange('created');
  const runtime = await fixture.open();
  await refusal('MICROVM_INVALID_TRANSITION', runtime.stopVm(vmId, { idempotencyKey }));
  const error = await refusal('MICROVM_INVALID_TRANSITION', runtime.stopVm(vmId, { idempotencyKey }));
  expect(error.details).toMatchObject({ vmId, actual: 'created' });
}

async function conflictsOverVerb(fixture: ProviderFixture): Promise<void> {
  const idempotencyKey = newKey(fixture);
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  await runtime.createVmWithSpec(vmId, fixture.spec(), { idempotencyKey });
  const [job] = await runtime.listJobs({ vmId });
  const error = await withoutEffect(runtime, () =>
    refusal('MICROVM_IDEMPOTENCY_CONFLICT', runtime.destroyVm(vmId, { idempotencyKey })),
  );
  expect(error.details).toEqual({ idempotencyKey, jobId: job?.jobId, kind: 'createVm' });
}

async function conflictsOverVm(fixture: ProviderFixture): Promise<void> {
  const idempotencyKey = newKey(fixture);
  const [one, other] = [await fixture.arrange('created'), await fixture.arrange('created')];
  const runtime = await fixture.open();
  await runtime.destroyVm(one.vmId, { idempotencyKey });
  await withoutEffect(runtime, () =>
    refusal('MICROVM_IDEMPOTENCY_CONFLICT', runtime.destroyVm(other.vmId, { idempotencyKey })),
  );
}

async function conflictsOverSpec(fixture: ProviderFixture): Promise<void> {
  const idempotencyKey = newKey(fixture);
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  await runtime.createVmWithSpec(vmId, fixture.spec({ labels: { a: '1', b: '2' } }), { idempotencyKey });
  const reordered = runtime.createVmWithSpec(vmId, fixture.spec({ labels: { b: '2', a: '1' } }), {
    idempotencyKey,
  });
  expect((await reordered).vmId, 'the order of keys is no difference').toBe(vmId);
  const other = runtime.createVmWithSpec(vmId, fixture.spec({ labels: { a: '2' } }), { idempotencyKey });
  await refusal('MICROVM_IDEMPOTENCY_CONFLICT', other);
}

async function abortsJoined(fixture: ProviderFixture): Promise<void> {
  const idempotencyKey = newKey(fixture);
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  const hold = fixture.gates.hold('createVm:intent');
  const first = runtime.createVmWithSpec(vmId, fixture.spec(), { idempotencyKey });
  await hold.reached;
  const abort = new AbortController();
  const options = { idempotencyKey, signal: abort.signal };
  const second = rejection(runtime.createVmWithSpec(vmId, fixture.spec(), options));
  abort.abort('enough');
  expect(await second).toBe('enough');
  hold.release();
  expect((await first).state).toBe('created');
}

async function retriesAborted(fixture: ProviderFixture): Promise<void> {
  const idempotencyKey = newKey(fixture);
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  const abort = new AbortController();
  fixture.gates.once('createVm:intent', () => abort.abort('enough'));
  const options = { idempotencyKey, signal: abort.signal };
  expect(await rejection(runtime.createVmWithSpec(vmId, fixture.spec(), options))).toBe('enough');
  const view = await runtime.createVmWithSpec(vmId, fixture.spec(), { idempotencyKey });
  expect(view.state).toBe('created');
}

async function repeatsWithoutKey(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('created');
  const runtime = await fixture.open();
  const { values, codes } = await outcomes([runtime.destroyVm(vmId), runtime.destroyVm(vmId)]);
  expect([values.length, codes]).toEqual([1, ['MICROVM_INVALID_TRANSITION']]);
}

async function survivesRestart(fixture: ProviderFixture): Promise<void> {
  const idempotencyKey = newKey(fixture);
  const vmId = fixture.newId();
  const first = await (await fixture.open()).createVmWithSpec(vmId, fixture.spec(), { idempotencyKey });
  const runtime = await fixture.reopen();
  expect(await runtime.createVmWithSpec(vmId, fixture.spec(), { idempotencyKey })).toEqual(first);
  await refusal('MICROVM_IDEMPOTENCY_CONFLICT', runtime.destroyVm(vmId, { idempotencyKey }));
}
