import { TRANSITIONS, VM_STATES, VM_VERBS, type VmState, type VmVerb } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { renamed, SNAPSHOT_ID, VERB_CALLS } from '../calls.js';
import { refusal, stateOf, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { isVerbSupported } from '../support.js';

/** Every verb in every state, and on an id that is unknown. */
export function registerTransitions(fixture: ProviderFixture): void {
  describe('states and verbs', () => {
    const states = VM_STATES.filter((state) => fixture.canArrange(state));
    for (const state of states) {
      describe(`a VM that is ${state}`, () => {
        const verbs = VM_VERBS.filter((verb) => isVerbSupported(fixture.capabilities, verb, state));
        for (const verb of verbs) registerPair(fixture, state, verb);
      });
    }
    describe('an id that is unknown', () => {
      for (const verb of VM_VERBS) registerUnknown(fixture, verb);
    });
  });
}

function registerPair(fixture: ProviderFixture, state: VmState, verb: VmVerb): void {
  const { from, to } = TRANSITIONS[verb];
  if (!from.includes(state)) {
    test(`${verb} is refused and leaves it ${state}`, () => refuses(fixture, state, verb));
    return;
  }
  const result = to === 'unchanged' ? state : to;
  test(`${verb} makes it ${result}`, () => allows(fixture, state, verb));
}

async function refuses(fixture: ProviderFixture, state: VmState, verb: VmVerb): Promise<void> {
  const { vmId } = await fixture.arrange(state);
  const runtime = await fixture.open();
  const error = await withoutEffect(runtime, () =>
    refusal('MICROVM_INVALID_TRANSITION', VERB_CALLS[verb](runtime, vmId)),
  );
  expect(error.details).toEqual({ vmId, verb, expected: expect.anything() as unknown, actual: state });
  expect([...error.details.expected].sort()).toEqual([...TRANSITIONS[verb].from].sort());
}

async function allows(fixture: ProviderFixture, state: VmState, verb: VmVerb): Promise<void> {
  const before = await fixture.arrange(state);
  const runtime = await fixture.open();
  const answer = await VERB_CALLS[verb](runtime, before.vmId);
  const { to } = TRANSITIONS[verb];
  const result = to === 'unchanged' ? state : to;
  if (verb === 'forgetVm') {
    expect(answer).toBeUndefined();
    expect(await runtime.getVm(before.vmId)).toBeUndefined();
    return;
  }
  const vmId = verb === 'renameVm' ? renamed(before.vmId) : before.vmId;
  expect(await stateOf(runtime, vmId)).toBe(result);
  if (verb === 'snapshotVm') {
    expect(answer).toMatchObject({ snapshotId: SNAPSHOT_ID, instanceId: before.instanceId });
    return;
  }
  expect(answer).toMatchObject({ vmId, instanceId: before.instanceId, state: result });
  expect(await runtime.getVm(vmId)).toEqual(answer);
  if (verb === 'renameVm') expect(await stateOf(runtime, before.vmId)).toBe('unknown');
}

function registerUnknown(fixture: ProviderFixture, verb: VmVerb): void {
  if (!isVerbSupported(fixture.capabilities, verb, 'created')) return;
  test(`${verb} answers that there is no such VM`, async () => {
    const runtime = await fixture.open();
    const vmId = fixture.newId();
    const error = await withoutEffect(runtime, () =>
      refusal('MICROVM_VM_NOT_FOUND', VERB_CALLS[verb](runtime, vmId)),
    );
    expect(error.details).toEqual({ vmId });
  });
}
