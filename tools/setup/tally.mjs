/** @typedef {{ passed: number, failed: number, skipped: number }} Count */

const NONE = { passed: 0, failed: 0, skipped: 0 };

/** What became of each step of the gate: its tests, or the step itself where it has none. */
export class Tally {
  #rows = new Map();

  /**
   * @param {string[]} steps all that were to run, in order; a step that is never recorded counts as skipped
   */
  constructor(steps) {
    for (const name of steps) this.#rows.set(name, { ...NONE, skipped: 1, note: 'not reached' });
  }

  /**
   * The end of a step. `counts` of its test programs; a step that failed counts as one failure though no test
   * of it did.
   */
  record(name, { failed, counts = [], note = '' }) {
    const sum = total(counts);
    if (failed && sum.failed === 0) sum.failed = 1;
    if (!failed && counts.length === 0) sum[note === '' ? 'passed' : 'skipped'] = 1;
    this.#rows.set(name, { ...sum, note });
  }

  get failed() {
    return total([...this.#rows.values()]).failed;
  }

  /** A line for each step, then the line that counts all of them. */
  lines() {
    const rows = [...this.#rows].map(
      ([name, row]) => `  ${name.padEnd(12)}${describe(row)}${row.note === '' ? '' : ` (${row.note})`}`,
    );
    return [...rows, `gate: ${describe(total([...this.#rows.values()]))}`];
  }
}

function describe({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

function total(counts) {
  const sum = { ...NONE };
  for (const count of counts) for (const key of Object.keys(sum)) sum[key] += count[key];
  return sum;
}

/**
 * Reads the counts of test programs out of what they say at their end: ctest's and vitest's, and the
 * testbed's, which are in vitest's words.
 */
export function countsIn(line) {
  const ctest = /^\d+% tests passed, (\d+) tests failed out of (\d+)/.exec(line);
  if (ctest !== null) {
    const [failed, all] = ctest.slice(1).map(Number);
    return { passed: all - failed, failed, skipped: 0 };
  }
  const ours = /^vitest: (\d+) passed, (\d+) failed, (\d+) skipped\r?$/.exec(line);
  if (ours === null) return undefined;
  const [passed, failed, skipped] = ours.slice(1).map(Number);
  return { passed, failed, skipped };
}
