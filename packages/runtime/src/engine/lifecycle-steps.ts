import type { JobKind } from '../contract/verbs.js';
import { VERBS } from './verbs.js';

function stepsOf({ kind, journal, ownSteps = [] }: (typeof VERBS)[JobKind]): readonly string[] {
  const names = {
    effects: ['accepted', 'intent', ...ownSteps, 'effects', 'committed'],
    single: ['accepted', 'committed'],
    none: [],
  }[journal];
  return names.map((name) => `${kind}:${name}`);
}

/**
 * The engine's own steps of each job, in order; the driver's lie between `intent` and `effects`. After a
 * crash in any of them the next open finds one of the outcomes in docs/contract.md.
 */
export const LIFECYCLE_STEPS = Object.fromEntries(
  Object.values(VERBS).map((verb) => [verb.kind, stepsOf(verb)]),
) as Readonly<Record<JobKind, readonly string[]>>;
