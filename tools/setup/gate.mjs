import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findFirecracker, runTestbed } from '../testbed/testbed.mjs';
import { bin, main, ROOT, run, spawnInherited, step, StepFailed } from './run.mjs';
import { nx, setup } from './setup.mjs';

const HELP = `Usage: npm test [-- [--only STEP]... [VITEST ARGUMENT...]]

Sets everything up, then runs the steps in this order, up to the first that fails:
`;

/** In order: cheap ones first, the tests that end with the count last. */
const STEPS = {
  format: () => run('npm', ['run', '--silent', 'format:check']),
  lint: () => run('npm', ['run', '--silent', 'lint']),
  typecheck: () => nx('typecheck'),
  cpp: () => run('npm', ['run', '--silent', 'test:cpp', '-w', 'native']),
  tsan: () => run('npm', ['run', '--silent', 'test:tsan', '-w', 'native']),
  fuzz: () => run('npm', ['run', '--silent', 'fuzz', '-w', 'native']),
  testbed,
  vitest,
};

/** What of the Firecracker driver's tests runs on the real binaries in each gate: a few minutes. */
const TESTBED_TESTS = join('packages', 'firecracker', 'test', 'testbed');

async function testbed() {
  const { firecracker, jailer } = findFirecracker();
  if (firecracker === undefined || jailer === undefined) {
    const missing = firecracker === undefined ? 'firecracker' : 'jailer';
    return `NOT RUN: no ${missing} found, so nothing here was tried on the real binaries`;
  }
  const names = await readdir(join(ROOT, TESTBED_TESTS)).catch(() => []);
  const files = names.filter((name) => name.endsWith('.test.ts')).map((name) => join(TESTBED_TESTS, name));
  if (files.length === 0) return `NOT RUN: no tests in ${TESTBED_TESTS}`;
  const code = await runTestbed({ files });
  if (code !== 0) throw new StepFailed(`the tests ended with exit code ${code}`);
}

function vitest(filters) {
  console.log('▸ vitest');
  return spawnInherited(bin('vitest'), ['run', ...filters]);
}

await main(async () => {
  const { values, positionals } = parseArgs({
    options: { only: { type: 'string', multiple: true }, help: { type: 'boolean' } },
    allowPositionals: true,
  });
  if (values.help) {
    console.log(`${HELP}  ${Object.keys(STEPS).join(', ')}`);
    return 0;
  }
  const unknown = values.only?.filter((name) => !Object.hasOwn(STEPS, name)) ?? [];
  if (unknown.length > 0) {
    throw new StepFailed(`no step "${unknown[0]}"; there are ${Object.keys(STEPS).join(', ')}`);
  }
  const chosen = Object.keys(STEPS).filter((name) => values.only?.includes(name) ?? true);
  await setup();
  for (const name of chosen) {
    // The last line of the whole gate is vitest's count, so nothing is said after it, not even of a failure.
    if (name === 'vitest') return vitest(positionals);
    await step(name, STEPS[name]);
  }
  return 0;
});
