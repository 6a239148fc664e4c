import { expect, it } from 'vitest';
import { pairedRatio, quantile, summarize } from '../src/statistics.js';

it('summarizes samples in any order', () => {
  expect(summarize([9, 1, 5, 3, 7])).toEqual({ median: 5, p25: 3, p75: 7, min: 1, max: 9, count: 5 });
});

it('finds quantiles between two values', () => {
  expect(quantile([10, 20], 0.5)).toBe(15);
  expect(quantile([10, 20, 30, 40], 0.25)).toBe(17.5);
  expect(quantile([42], 0.9)).toBe(42);
});

it('has no quantile of no values', () => {
  expect(() => summarize([])).toThrow(RangeError);
});

it('compares pair by pair, so that a machine that gets slower changes nothing', () => {
  const theirs = [10, 100, 1000];
  const ours = theirs.map((value) => value * 1.1);
  expect(pairedRatio(ours, theirs)).toBeCloseTo(1.1);
});

it('refuses sides of different lengths', () => {
  expect(() => pairedRatio([1, 2], [1])).toThrow(RangeError);
});
