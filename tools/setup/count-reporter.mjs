/**
 * Prints the one line that counts the tests, last of all. What failed outside any test, such as an import,
 * counts as one each.
 */
export default class CountReporter {
  onTestRunEnd(modules, unhandledErrors = []) {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      const failedBefore = count.failed;
      for (const test of module.children.allTests()) {
        const state = test.result().state;
        count[state === 'passed' || state === 'failed' ? state : 'skipped'] += 1;
      }
      if (module.state() === 'failed' && count.failed === failedBefore) count.failed += 1;
    }
    process.on('exit', () => {
      process.stdout.write(
        `vitest: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`,
      );
    });
  }
}
