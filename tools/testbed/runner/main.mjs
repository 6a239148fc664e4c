import './worker-state.mjs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { startTests } from '@vitest/runner';
import { getTests } from '@vitest/runner/utils';
import { createExpect, expect } from 'vitest';
import { describeEnd } from './report.mjs';

// Emulation makes everything slow, and unevenly so; what hangs for good is the testbed's deadline's business.
const TEST_TIMEOUT_MS = 300_000;

/**
 * Runs tests by vitest's own runner, without its server. Arguments: pairs of a test file's name and its
 * module.
 */
class Runner {
  config = {
    ...{ root: process.cwd(), name: 'testbed', setupFiles: [], allowOnly: false, passWithNoTests: false },
    ...{ testTimeout: TEST_TIMEOUT_MS, hookTimeout: TEST_TIMEOUT_MS, retry: 0, maxConcurrency: 5, tags: [] },
    ...{ sequence: { hooks: 'stack', setupFiles: 'list', seed: 0 }, includeTaskLocation: false },
  };
  #modules;

  constructor(modules, testNamePattern) {
    this.#modules = modules;
    if (testNamePattern !== undefined) this.config.testNamePattern = new RegExp(testNamePattern);
  }

  importFile(name) {
    return import(pathToFileURL(this.#modules.get(name)).href);
  }

  onBeforeRunFiles() {}

  onCollected(files) {
    const tests = getTests(files);
    console.log(`${tests.length} tests in ${files.length} files`);
  }

  onBeforeTryTask(test) {
    expect.setState({
      ...{ assertionCalls: 0, isExpectingAssertions: false, isExpectingAssertionsError: null },
      ...{ expectedAssertionsNumber: null, expectedAssertionsNumberErrorGen: null },
      currentTestName: test.fullTestName,
    });
  }

  onAfterTryTask() {
    const state = expect.getState();
    if (state.expectedAssertionsNumber !== null && state.assertionCalls !== state.expectedAssertionsNumber) {
      throw state.expectedAssertionsNumberErrorGen();
    }
    if (state.isExpectingAssertions && state.assertionCalls === 0) throw state.isExpectingAssertionsError;
  }

  onAfterRunTask(test) {
    console.log(describeEnd(test));
  }

  extendTaskContext(context) {
    let own;
    Object.defineProperty(context, 'expect', { get: () => (own ??= createExpect(context.task)) });
    return context;
  }
}

const { values, positionals } = parseArgs({
  options: { testNamePattern: { type: 'string', short: 't' } },
  allowPositionals: true,
});
const modules = new Map();
for (let i = 0; i < positionals.length; i += 2) modules.set(positionals[i], positionals[i + 1]);

const strays = [];
for (const event of ['unhandledRejection', 'uncaughtException'])
  process.on(event, (error) => strays.push(error));

const files = await startTests([...modules.keys()], new Runner(modules, values.testNamePattern));
process.exitCode = report(files, strays);

function report(ended, unhandled) {
  const tests = getTests(ended);
  const count = (state) => tests.filter(({ result }) => result?.state === state).length;
  const broken = suites(ended).filter(({ result }) => (result?.errors ?? []).length > 0);
  for (const suite of broken) console.log(describeEnd(suite));
  for (const error of unhandled) console.log(`✗ unhandled error: ${error?.stack ?? error}`);
  const [passed, failed] = [count('pass'), count('fail')];
  const skipped = tests.length - passed - failed;
  // What went wrong outside any test counts as a failure of its own.
  const allFailed = failed + broken.length + unhandled.length;
  console.log(`vitest: ${passed} passed, ${allFailed} failed, ${skipped} skipped`);
  return allFailed > 0 || passed === 0 ? 1 : 0;
}

function suites(tasks) {
  return tasks.flatMap((task) => (task.type === 'suite' ? [task, ...suites(task.tasks)] : []));
}
