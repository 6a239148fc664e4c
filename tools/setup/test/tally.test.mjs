import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../run.mjs';
import { countsIn, Tally } from '../tally.mjs';

const tallyOf = () => new Tally(['lint', 'cpp', 'testbed', 'vitest']);
const last = (tally) => tally.lines().at(-1);

test('counts tests where there are some, and steps where there are none', () => {
  const tally = tallyOf();
  tally.record('lint', { failed: false });
  tally.record('cpp', { failed: false, counts: [{ passed: 34, failed: 0, skipped: 0 }] });
  tally.record('testbed', { failed: false, note: 'no firecracker' });
  tally.record('vitest', { failed: false, counts: [{ passed: 100, failed: 0, skipped: 3 }] });
  expect(tally.lines()).toEqual([
    '  lint        1 passed, 0 failed, 0 skipped',
    '  cpp         34 passed, 0 failed, 0 skipped',
    '  testbed     0 passed, 0 failed, 1 skipped (no firecracker)',
    '  vitest      100 passed, 0 failed, 3 skipped',
    'gate: 135 passed, 0 failed, 4 skipped',
  ]);
  expect(tally.failed).toBe(0);
});

test('a step that fails early is counted, and what was not reached is told', () => {
  const tally = tallyOf();
  tally.record('lint', { failed: false });
  tally.record('cpp', { failed: true, counts: [{ passed: 33, failed: 1, skipped: 0 }] });
  expect(last(tally)).toBe('gate: 34 passed, 1 failed, 2 skipped');
  expect(tally.lines()[3]).toBe('  vitest      0 passed, 0 failed, 1 skipped (not reached)');
});

test('a test program that dies without counting is a failure, also when what it counted before was good', () => {
  const died = tallyOf();
  died.record('vitest', { failed: true });
  expect(last(died)).toBe('gate: 0 passed, 1 failed, 3 skipped');
  const afterTests = tallyOf();
  afterTests.record('cpp', { failed: true, counts: [{ passed: 34, failed: 0, skipped: 0 }] });
  expect(last(afterTests)).toBe('gate: 34 passed, 1 failed, 3 skipped');
});

test.each([
  ['97% tests passed, 1 tests failed out of 34', { passed: 33, failed: 1, skipped: 0 }],
  ['100% tests passed, 0 tests failed out of 31', { passed: 31, failed: 0, skipped: 0 }],
  ['vitest: 1700 passed, 2 failed, 12 skipped', { passed: 1700, failed: 2, skipped: 12 }],
  ['vitest: 9 passed, 0 failed, 1 skipped\r', { passed: 9, failed: 0, skipped: 1 }],
  ['  vitest      100 passed, 0 failed, 3 skipped', undefined],
  ['Tests  3 passed (3)', undefined],
])('reads %s', (line, counts) => {
  expect(countsIn(line)).toEqual(counts);
});

test('what fails outside any test is counted: a file that cannot be imported, an error that nobody handled', () => {
  const reporter = JSON.stringify(join(ROOT, 'tools', 'setup', 'count-reporter.mjs'));
  const code = `
    const { default: CountReporter } = await import(${reporter});
    const module = (state, ...states) => ({
      state: () => state,
      children: { allTests: () => states.map((each) => ({ result: () => ({ state: each }) })) },
    });
    new CountReporter().onTestRunEnd(
      [module('passed', 'passed', 'skipped'), module('failed', 'failed', 'passed'), module('failed')],
      [new Error('unhandled')],
    );`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  expect(stdout).toBe('vitest: 2 passed, 3 failed, 1 skipped\n');
});
