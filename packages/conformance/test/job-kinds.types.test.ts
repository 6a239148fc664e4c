import type { JobKind } from '@microvm/runtime';
import { describe, expect, it } from 'vitest';
import { CRASH_SCENARIOS } from '../src/crashes/scenarios.js';
import { TRAITS } from '../src/traits.js';

type Scenarios = typeof CRASH_SCENARIOS;

describe('a kind of job', () => {
  it('has a crash scenario and a trait, or the suite does not compile', () => {
    const { rebootVm: _scenario, ...scenarios } = CRASH_SCENARIOS;
    // @ts-expect-error a kind without a scenario
    const incomplete: Scenarios = scenarios;
    // @ts-expect-error a kind whose list of scenarios is empty
    const empty: Scenarios = { ...CRASH_SCENARIOS, rebootVm: [] };
    const { pauseVm: _trait, ...traits } = TRAITS;
    // @ts-expect-error a kind without a trait
    const traitless: typeof TRAITS = traits;
    expect([incomplete, empty, traitless]).toHaveLength(3);
  });

  it('has scenarios of its own kind only', () => {
    const own: { readonly [K in JobKind]: readonly { readonly kind: K }[] } = CRASH_SCENARIOS;
    // @ts-expect-error the scenario of another kind
    const mixed: Scenarios = { ...CRASH_SCENARIOS, stopVm: CRASH_SCENARIOS.pauseVm };
    expect(Object.keys(own)).toEqual(Object.keys(mixed));
  });
});
