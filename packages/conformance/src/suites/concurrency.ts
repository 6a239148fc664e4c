import type { VmRuntime } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { JOB_CALLS } from '../calls.js';
import { outcomes, refusal, stateOf, viewOf } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { arrangeFor, traitsOf, type Trait } from '../traits.js';

/** Twice in a row, many at once on one VM, many VMs at once. */
export function registerConcurrency(fixture: ProviderFixture): void {
  const count = fixture.atOnce;
  describe('calls in a row and at once', () => {
    for (const trait of traitsOf(fixture)) {
      const { method, again } = trait;
      test(`${method} twice in a row: the second one ${again === undefined ? 'is as the first' : `is ${again}`}`, () =>
        callsTwice(fixture, trait));
      if (again === undefined) continue;
      test(`${method} ${count} times at once on one VM: exactly one wins`, () => callsAtOnce(fixture, trait));
    }
    test('calls on one VM run one after the other, in the order of the calls', () => runsInOrder(fixture));
    test(`${count} VMs are created at once, none waits for another`, () => createsAtOnce(fixture));
    if (fixture.capabilities.pause && fixture.capabilities.concurrentRestores) {
      test(`${count} live VMs change at once, none waits for another`, () => changesAtOnce(fixture));
    }
    if (fixture.capabilities.rename) {
      test(`${count} VMs want one new id at once: exactly one gets it`, () => racesForId(fixture));
    }
    test('concurrency bounds the jobs that run at once', () => boundsConcurrency(fixture));
  });
}

async function callsTwice(fixture: ProviderFixture, trait: Trait): Promise<void> {
  const vmId = await arrangeFor(fixture, trait);
  const runtime = await fixture.open();
  const first = await JOB_CALLS[trait.method](runtime, vmId);
  const between = await runtime.listVms();
  if (trait.again === undefined) expect(await JOB_CALLS[trait.method](runtime, vmId)).toEqual(first);
  else await refusal(trait.again, JOB_CALLS[trait.method](runtime, vmId));
  expect(await runtime.listVms()).toEqual(between);
}

async function callsAtOnce(fixture: ProviderFixture, trait: Trait): Promise<void> {
  const vmId = await arrangeFor(fixture, trait);
  const runtime = await fixture.open();
  const calls = Array.from({ length: fixture.atOnce }, () => JOB_CALLS[trait.method](runtime, vmId));
  const { values, codes } = await outcomes(calls);
  expect(values).toHaveLength(1);
  expect(codes).toEqual(Array.from({ length: fixture.atOnce - 1 }, () => trait.again));
}

async function runsInOrder(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  const calls: Promise<unknown>[] = [runtime.createVmWithSpec(vmId, fixture.spec()), runtime.destroyVm(vmId)];
  calls.push(runtime.createVmWithSpec(vmId, fixture.spec()), runtime.destroyVm(vmId), runtime.forgetVm(vmId));
  const seen: string[] = [];
  await Promise.all(calls.map(async (call, index) => call.then(() => seen.push(`${index}`))));
  expect(seen).toEqual(['0', '1', '2', '3', '4']);
  expect(await runtime.getVm(vmId)).toBeUndefined();
}

async function createsAtOnce(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const ids = Array.from({ length: fixture.atOnce }, () => fixture.newId());
  fixture.gates.meet('createVm:intent', ids.length);
  const views = await Promise.all(ids.map((id) => runtime.createVmWithSpec(id, fixture.spec())));
  expect(views.map(({ vmId, state }) => [vmId, state])).toEqual(ids.map((id) => [id, 'created']));
  expect(new Set(views.map(({ instanceId }) => instanceId)).size).toBe(ids.length);
}

async function changesAtOnce(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const views = await Promise.all(Array.from({ length: fixture.atOnce }, () => fixture.arrange('paused')));
  fixture.gates.meet('resumeVm:intent', views.length);
  await Promise.all(views.map(({ vmId }) => runtime.resumeVm(vmId)));
  for (const { vmId } of views) expect(await stateOf(runtime, vmId)).toBe('running');
}

async function racesForId(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const views = await Promise.all(Array.from({ length: fixture.atOnce }, () => fixture.arrange('created')));
  const wanted = fixture.newId();
  const { values, codes } = await outcomes(views.map(({ vmId }) => runtime.renameVm(vmId, wanted)));
  expect(values.map(({ vmId }) => vmId)).toEqual([wanted]);
  expect(codes).toEqual(views.slice(1).map(() => 'MICROVM_VM_ALREADY_EXISTS'));
  const winner = await viewOf(runtime, wanted);
  const others = views.filter(({ instanceId }) => instanceId !== winner.instanceId);
  expect(others).toHaveLength(views.length - 1);
  for (const other of others) expect(await viewOf(runtime, other.vmId)).toEqual(other);
}

async function boundsConcurrency(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.fresh({ concurrency: 1 });
  const [first, second] = [fixture.newId(), fixture.newId()];
  const hold = fixture.gates.hold('createVm:intent');
  const creations = [first, second].map((id) => runtime.createVmWithSpec(id, fixture.spec()));
  await hold.reached;
  expect(await jobStatuses(runtime)).toEqual(['running', 'queued']);
  expect(await runtime.getVm(second)).toBeUndefined();
  hold.release();
  await Promise.all(creations);
  expect(await jobStatuses(runtime)).toEqual(['succeeded', 'succeeded']);
}

async function jobStatuses(runtime: VmRuntime): Promise<string[]> {
  return (await runtime.listJobs()).map(({ status }) => status);
}
