import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { findFirecracker, runTestbed } from '../testbed/testbed.mjs';
import { bin, main, ROOT, run, runWatched, step, StepFailed } from './run.mjs';
import { setup } from './setup.mjs';
import { countsIn, Tally } from './tally.mjs';

const HELP = `Usage: npm test [-- [--only STEP]... [VITEST ARGUMENT...]]

Sets everything up, then runs the steps in this order, up to the first that fails. The last line counts the tests of all
steps; a step without tests, such as lint, counts as one.
`;

/**
 * In order: cheap ones first. Each gets `onLine`, which takes what its test programs print, and the arguments
 * for vitest; it may return why it did not run.
 */
const STEPS = {
  format: () => run('npm', ['run', '--silent', 'format:check']),
  lint: () => run('npm', ['run', '--silent', 'lint']),
  typecheck: () => run(bin('tsc'), []),
  cpp: (onLine) => runWatched('npm', ['run', '--silent', 'test:cpp', '-w', 'native'], onLine),
  tsan: (onLine) => runWatched('npm', ['run', '--silent', 'test:tsan', '-w', 'native'], onLine),
  fuzz: () => run('npm', ['run', '--silent', 'fuzz', '-w', 'native']),
  testbed,
  vitest: (onLine, filters) => runWatched(bin('vitest'), ['run', ...filters], onLine),
};

/** What of the Firecracker driver's tests runs on the real binaries in each gate: a few minutes. */
const TESTBED_TESTS = join('packages', 'firecracker', 'test', 'testbed');

async function testbed(onLine) {
  const { firecracker, jailer } = findFirecracker();
  if (firecracker === undefined || jailer === undefined) {
    const missing = firecracker === undefined ? 'firecracker' : 'jailer';
    return `no ${missing} found, so nothing here was tried on the real binaries`;
  }
  const names = await readdir(join(ROOT, TESTBED_TESTS)).catch(() => []);
  const files = names.filter((name) => name.endsWith('.test.ts')).map((name) => join(TESTBED_TESTS, name));
  if (files.length === 0) return `no tests in ${TESTBED_TESTS}`;
  const output = new PassThrough();
  output.pipe(process.stdout, { end: false });
  createInterface({ input: output }).on('line', onLine);
  const code = await runTestbed({ files, onOutput: (data) => output.write(data) });
  if (code !== 0) throw new StepFailed(`the tests ended with exit code ${code}`);
  return undefined;
}

/** Runs the steps up to the first that fails; the tally has them all. */
async function runSteps(names, filters) {
  const steps = ['set-up', ...names];
  const tally = new Tally(steps);
  for (const name of steps) {
    const counts = [];
    const onLine = (line) => {
      const count = countsIn(line);
      if (count !== undefined) counts.push(count);
    };
    let note;
    try {
      await step(name, async () => {
        note = name === 'set-up' ? await setup() : await STEPS[name](onLine, filters);
        return note === undefined ? undefined : `NOT RUN: ${note}`;
      });
    } catch (error) {
      tally.record(name, { failed: true, counts });
      console.error(error instanceof StepFailed ? `✖ ${error.message}` : error);
      return tally;
    }
    tally.record(name, { failed: false, counts, note });
  }
  return tally;
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
  const tally = await runSteps(
    Object.keys(STEPS).filter((name) => values.only?.includes(name) ?? true),
    positionals,
  );
  console.log(`\n${tally.lines().join('\n')}`);
  return tally.failed === 0 ? 0 : 1;
});
