import { expect, it } from 'vitest';
import { lifecycle } from '../src/dimensions/lifecycle.js';
import { toRow } from '../src/report.js';

it('measures lifecycles of the engine, with the writes that they make', async () => {
  const measurements = await lifecycle.run({ quick: true, log: () => undefined });
  const rows = measurements.map((measurement) => toRow(measurement, { isJudged: false }));
  expect(rows.length).toBeGreaterThan(0);
  for (const { summary } of rows) expect(summary.ours.median).toBeGreaterThan(0);
  const journalled = rows.filter(({ theirs }) => theirs !== undefined);
  expect(journalled.length).toBeGreaterThan(0);
  // Each verb of a lifecycle is at least one durable change.
  for (const { parameters } of journalled) {
    expect(Number(parameters['changes'])).toBeGreaterThanOrEqual(5 * Number(parameters['lives']));
  }
});
