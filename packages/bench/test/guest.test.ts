import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { guest } from '../src/dimensions/guest.js';
import { toRow } from '../src/report.js';

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.error('commands against their floor: skipped, the double’s guest needs root');

it.skipIf(!isRoot)('measures commands and connections of a guest against the floor', async () => {
  // The dimension has a process of its own with this flag.
  setFlagsFromString('--expose-gc');
  globalThis.gc = runInNewContext('gc') as typeof globalThis.gc;
  const measurements = await guest.run({ quick: true, log: () => undefined });
  const rows = measurements.map((measurement) => toRow(measurement, { isJudged: false }));
  expect(rows.map(({ name }) => name)).toHaveLength(6);
  for (const { theirs, ratio } of rows) if (theirs !== undefined) expect(ratio).toBeGreaterThan(0);
});
