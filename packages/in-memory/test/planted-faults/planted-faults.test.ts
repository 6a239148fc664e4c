import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { startVitest, type TestCase } from 'vitest/node';
import { PLANTED_CRASH_FAULTS, PLANTED_FAULTS, titleOf } from './planted-faults.js';

const folder = fileURLToPath(new URL('.', import.meta.url));
const conditions = ['@microvm/source', 'module', 'node', 'development|production'];

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

const ALL = [...PLANTED_FAULTS, ...PLANTED_CRASH_FAULTS];

/** The tests that are to be run, as vitest matches them. */
function pattern(): RegExp {
  const titles = ALL.flatMap((planted) => [titleOf(planted, 'faulty'), titleOf(planted, 'control')]);
  return new RegExp(
    `^(${[...new Set(titles)].map((title) => escape(title.replaceAll(' > ', ' '))).join('|')})$`,
  );
}

/** Runs the fixture; answers the state and the errors of each test by its full name. */
async function runFixture(): Promise<Map<string, ReturnType<TestCase['result']>>> {
  const before = process.exitCode;
  const vitest = await startVitest(
    'test',
    [],
    {
      root: folder,
      config: false,
      watch: false,
      include: ['faulty-providers.fixture.ts'],
      reporters: [{}],
      testNamePattern: pattern(),
      pool: 'forks',
    },
    { ssr: { resolve: { conditions } } },
  );
  const results = vitest.state
    .getTestModules()
    .flatMap((module) => [...module.children.allTests()])
    .map((one) => [one.fullName, one.result()] as const);
  await vitest.close();
  // Failures are what the run is for.
  process.exitCode = before;
  return new Map(results);
}

describe('the conformance suite', () => {
  let results: Map<string, ReturnType<TestCase['result']>>;
  beforeAll(async () => {
    results = await runFixture();
  }, 300_000);

  const stateOf = (title: string): string | undefined => results.get(title)?.state;
  const errorsOf = (title: string): string[] =>
    (results.get(title)?.errors ?? []).map(({ message }) => message);

  for (const planted of ALL) {
    test(`notices: ${planted.fault}`, () => {
      const [faulty, control] = [titleOf(planted, 'faulty'), titleOf(planted, 'control')];
      expect(stateOf(faulty), `with the fault: "${faulty}"`).toBe('failed');
      expect(errorsOf(control), `without it: "${control}"`).toEqual([]);
      expect(stateOf(control), `without it: "${control}"`).toBe('passed');
    });
  }

  test('is tried with faults of different names', () => {
    expect(new Set(ALL.map(({ fault }) => fault)).size).toBe(ALL.length);
  });
});
