import { TRANSITIONS, VM_VERBS, type VmRuntime, type VmState, type VmVerb } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { JOB_CALLS, renamed, VERB_CALLS } from '../calls.js';
import { rejection, stateOf, viewOf, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { arrangeFor, intentOf, kindOf, middleOf, traitsOf, type Trait } from '../traits.js';

const reason = new Error('not wanted any more');

/** What an abort by the caller's signal comes to, before and in the middle of every method. */
export function registerAborts(fixture: ProviderFixture): void {
  describe('aborts', () => {
    for (const trait of traitsOf(fixture)) {
      test(`${trait.method} does nothing when its signal was aborted before`, () =>
        abortsBefore(fixture, trait));
      if (intentOf(trait.method) !== undefined) {
        test(`${trait.method} is undone when it is aborted in the middle`, () =>
          abortsInTheMiddle(fixture, trait));
      } else if (middleOf(trait.method) !== undefined) {
        test(`${trait.method} is done or not done when it is aborted in the middle`, () =>
          abortsAtomic(fixture, trait));
      }
    }
    if (fixture.capabilities.memorySnapshot) {
      test('a restore that is aborted in the middle leaves nothing', () => abortsRestore(fixture));
    }
    test('the reason is passed on as it is, also when it is no error', () => passesReasonOn(fixture));
    test('an abort after the end has no effect', () => abortsAfter(fixture));
    test('a call that waits for its turn is given up at once', () => abortsQueued(fixture));
  });
}

async function abortsBefore(fixture: ProviderFixture, trait: Trait): Promise<void> {
  const vmId = await arrangeFor(fixture, trait);
  const runtime = await fixture.open();
  const jobs = await runtime.listJobs();
  const steps = fixture.gates.record();
  await withoutEffect(runtime, async () => {
    const call = JOB_CALLS[trait.method](runtime, vmId, { signal: AbortSignal.abort(reason) });
    expect(await rejection(call)).toBe(reason);
  });
  expect(steps, 'no step was taken').toEqual([]);
  expect(await runtime.listJobs(), 'no job was made of it').toEqual(jobs);
}

/** Calls the method and aborts it in a step. */
async function abortAt(
  fixture: ProviderFixture,
  trait: Trait,
  vmId: string,
): Promise<PromiseSettledResult<unknown>> {
  const runtime = await fixture.open();
  const abort = new AbortController();
  fixture.gates.once(middleOf(trait.method) ?? '', () => abort.abort(reason));
  const [outcome] = await Promise.allSettled([
    JOB_CALLS[trait.method](runtime, vmId, { signal: abort.signal }),
  ]);
  expect(abort.signal.aborted, `the step ${middleOf(trait.method)} was reached`).toBe(true);
  return outcome;
}

async function abortsInTheMiddle(fixture: ProviderFixture, trait: Trait): Promise<void> {
  const vmId = await arrangeFor(fixture, trait);
  const runtime = await fixture.open();
  const outcome = await abortAt(fixture, trait, vmId);
  expect(outcome).toEqual({ status: 'rejected', reason });
  expect(outcome.status === 'rejected' && outcome.reason === reason, 'the very reason').toBe(true);
  const view = await runtime.getVm(vmId);
  expect(trait.aborted).toContain(view?.state ?? 'unknown');
  expect(view?.operation).toBeUndefined();
  expect(view?.snapshots ?? []).toEqual([]);
  if (trait.method === 'destroyVm') expect(view?.cleanup?.left, 'what is left').not.toEqual([]);
  const job = (await runtime.listJobs()).filter(({ kind }) => kind === kindOf(trait.method)).at(-1);
  expect(job).toMatchObject({ status: 'cancelled', error: { code: 'ABORT' } });
  await worksAgain(runtime, trait, vmId);
}

/** The same call, not aborted, finds a VM that works. */
async function worksAgain(runtime: VmRuntime, { method }: Trait, vmId: string): Promise<void> {
  const state = await stateOf(runtime, vmId);
  const isVerb = (VM_VERBS as readonly string[]).includes(method);
  const isAllowed = !isVerb || TRANSITIONS[method as VmVerb].from.includes(state as VmState);
  if (isAllowed) await JOB_CALLS[method](runtime, vmId);
}

async function abortsAtomic(fixture: ProviderFixture, trait: Trait): Promise<void> {
  const vmId = await arrangeFor(fixture, trait);
  const runtime = await fixture.open();
  const before = await runtime.listVms();
  const outcome = await abortAt(fixture, trait, vmId);
  const after = await runtime.listVms();
  if (outcome.status === 'rejected') {
    expect(outcome.reason).toBe(reason);
    expect(after).toEqual(before);
    await JOB_CALLS[trait.method](runtime, vmId);
  } else {
    expect(after).not.toEqual(before);
  }
  if (trait.method === 'renameVm') expect(await stateOf(runtime, renamed(vmId))).toBe('running');
}

async function abortsRestore(fixture: ProviderFixture): Promise<void> {
  const { snapshot } = await fixture.golden();
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  const abort = new AbortController();
  fixture.gates.once('createVm:intent', () => abort.abort(reason));
  const spec = { restoreFrom: { snapshotUid: snapshot.snapshotUid } };
  await withoutEffect(runtime, async () => {
    expect(await rejection(runtime.createVmWithSpec(vmId, spec, { signal: abort.signal }))).toBe(reason);
  });
  const restored = await runtime.createVmWithSpec(vmId, spec);
  expect(restored.state).toBe('running');
}

async function passesReasonOn(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  for (const odd of ['enough', 7, { why: 'enough' }]) {
    const call = runtime.createVmWithSpec(fixture.newId(), fixture.spec(), {
      signal: AbortSignal.abort(odd),
    });
    expect(await rejection(call)).toBe(odd);
  }
}

async function abortsAfter(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const abort = new AbortController();
  const created = await runtime.createVmWithSpec(fixture.newId(), fixture.spec(), { signal: abort.signal });
  abort.abort(reason);
  expect(await viewOf(runtime, created.vmId)).toEqual(created);
  expect((await runtime.listJobs({ vmId: created.vmId })).map(({ status }) => status)).toEqual(['succeeded']);
}

async function abortsQueued(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const hold = fixture.gates.hold('stopVm:intent');
  const first = runtime.stopVm(vmId);
  await hold.reached;
  const abort = new AbortController();
  const second = rejection(VERB_CALLS.destroyVm(runtime, vmId, { signal: abort.signal }));
  abort.abort(reason);
  expect(await second, 'while the first one still runs').toBe(reason);
  hold.release();
  expect((await first).state).toBe('stopped');
}
