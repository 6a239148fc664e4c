import { readFileSync } from 'node:fs';
import { LIFECYCLE_STEPS, type JobKind } from '@microvm/runtime';
import { describe, expect, it } from 'vitest';
import { CRASH_SCENARIOS } from '../src/crashes/scenarios.js';

const contract = readFileSync(new URL('../../../docs/contract.md', import.meta.url), 'utf8');
const jobs = contract.split('\n## ').find((section) => section.startsWith('Jobs')) ?? '';

function documentedOutcome(kind: JobKind): string | undefined {
  const row = jobs.split('\n').find((line) => line.startsWith(`| \`${kind}\``));
  return row?.split('|')[3]?.trim();
}

describe('docs/contract.md', () => {
  const kinds = Object.keys(CRASH_SCENARIOS) as JobKind[];

  it.each(kinds.filter((kind) => LIFECYCLE_STEPS[kind].includes(`${kind}:intent`)))(
    'names the outcome of an interrupted %s that the scenarios of crashes expect',
    (kind) => {
      const outcomes = CRASH_SCENARIOS[kind].map(({ during }) => during.outcome);
      expect([...new Set(outcomes)]).toEqual([documentedOutcome(kind)]);
    },
  );
});
