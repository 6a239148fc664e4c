import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { bundleTests } from '../tests.mjs';

/** Bundles test files and runs them as it is done in the testbed. */
async function runTests(sources, ...args) {
  const folder = await mkdtemp(join(tmpdir(), 'microvm-testbed-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const files = [];
  for (const [index, source] of sources.entries()) {
    files.push(join(folder, `${index}.test.ts`));
    await writeFile(files[index], source);
  }
  const bundles = join(folder, 'bundles');
  const [runner, ...modules] = await bundleTests(files, bundles);
  const pairs = files.flatMap((_, index) => [`${index}.test.ts`, join(bundles, modules[index])]);
  const { status, stdout } = spawnSync(process.execPath, [join(bundles, runner), ...args, ...pairs], {
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined },
  });
  return { status, lines: stdout.trimEnd().split('\n') };
}

const PASSING = `
import { afterEach, describe, expect, test, vi } from 'vitest';
let ended = 0;
afterEach(() => { ended += 1; });
describe('a suite', () => {
  test('polls', async () => {
    let calls = 0;
    await expect.poll(() => ++calls).toBe(3);
    await vi.waitFor(() => expect(++calls).toBe(5));
  });
  test.each([1, 2])('number %i', (n) => { expect({ n, s: 'x' }).toMatchObject({ n: expect.any(Number) }); });
  test('hooks ran', () => { expect(ended).toBe(3); });
  test.skip('later', () => {});
});`;

test('tests that pass: a line for each, the count, exit code 0', async () => {
  const { status, lines } = await runTests([PASSING]);
  expect(lines.at(-1)).toBe('vitest: 4 passed, 0 failed, 1 skipped');
  expect(lines[0]).toBe('5 tests in 1 files');
  expect(lines).toContainEqual(expect.stringMatching(/^✓ .*a suite > number 2 /));
  expect(status).toBe(0);
});

test('a test that fails: its error with what differs, exit code 1', async () => {
  const failing = `
    import { expect, test } from 'vitest';
    test('wrong', () => { expect({ a: 1 }).toEqual({ a: 2 }); });`;
  const { status, lines } = await runTests([PASSING, failing]);
  expect(lines.at(-1)).toBe('vitest: 4 passed, 1 failed, 1 skipped');
  expect(lines).toContainEqual(expect.stringMatching(/^✗ .*wrong /));
  expect(lines.join('\n')).toMatch(/-\s+"a": 2,\n.*\+\s+"a": 1,/);
  expect(status).toBe(1);
});

test('what goes wrong outside a test fails too: a file that does not load, a rejection that nobody handled', async () => {
  const broken = `throw new Error('does not load');`;
  expect(await runTests([PASSING, broken])).toMatchObject({
    status: 1,
    lines: expect.arrayContaining(['vitest: 4 passed, 1 failed, 1 skipped']),
  });
  const stray = `
    import { test } from 'vitest';
    test('passes', async () => { Promise.reject(new Error('stray')); await new Promise(setImmediate); });`;
  const { status, lines } = await runTests([stray]);
  expect(lines).toContainEqual(expect.stringContaining('unhandled error: Error: stray'));
  expect(status).toBe(1);
});

test('expected numbers of assertions count, and those of one test do not count for another', async () => {
  const source = `
    import { expect, test } from 'vitest';
    test('none though one is wanted', () => { expect.hasAssertions(); });
    test('two though one is wanted', () => { expect.assertions(1); expect(1).toBe(1); expect(1).toBe(1); });
    test('as wanted', () => { expect.assertions(1); expect(1).toBe(1); });`;
  const { lines } = await runTests([source]);
  expect(lines.at(-1)).toBe('vitest: 1 passed, 2 failed, 0 skipped');
});

test('a pattern picks tests by name; nothing that ran is no success', async () => {
  expect((await runTests([PASSING], '-t', 'number 1')).lines.at(-1)).toBe(
    'vitest: 1 passed, 0 failed, 4 skipped',
  );
  expect((await runTests([PASSING], '-t', 'no such name')).status).toBe(1);
});

test('a module finds its own files where the checkout lies in the testbed', async () => {
  const source = `
    import { expect, test } from 'vitest';
    import { ownFolder, ownUrl } from ${JSON.stringify(join(import.meta.dirname, 'own-url.mjs'))};
    test('url', () => {
      expect(ownUrl).toBe('file:///checkout/tools/testbed/test/own-url.mjs');
      expect(ownFolder).toBe('/checkout/tools/testbed/test');
    });`;
  expect((await runTests([source])).lines.at(-1)).toBe('vitest: 1 passed, 0 failed, 0 skipped');
});
