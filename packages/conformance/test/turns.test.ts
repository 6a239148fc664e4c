import { expect, test } from 'vitest';
import { inTurn, TURNS, turnOf } from '../src/power-cuts/turns.js';

test('every case has its turn once in so many seeds, and a seed names its turn again', () => {
  const items = Array.from({ length: 10 }, (_, index) => index);
  const turns = Array.from({ length: TURNS }, (_, seed) => inTurn(items, turnOf(String(seed + 8))));
  expect(turns.flat().sort((a, b) => a - b)).toEqual(items);
  expect(turnOf('9')).toMatchObject({ turn: 9 % TURNS, seed: 9 });
});

test('all of them are taken where they are asked for, with a seed of the clock or with one that is named', () => {
  expect(inTurn([1, 2, 3], turnOf('all'))).toEqual([1, 2, 3]);
  expect(turnOf('all:7')).toMatchObject({ turn: undefined, seed: 7 });
  expect(turnOf('all', { now: 5000 })).toEqual({ turn: undefined, turns: TURNS, seed: 5 });
  expect(turnOf(undefined, { now: 6000, turns: 5 })).toEqual({ turn: 1, turns: 5, seed: 6 });
});

test('another text is refused', () => {
  for (const text of ['some', '-1', 'all7', '1:all'])
    expect(() => turnOf(text)).toThrow(/MICROVM_POWER_CUTS/);
});
