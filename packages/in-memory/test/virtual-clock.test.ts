import { expect, test } from 'vitest';
import { createVirtualClock } from '../src/index.js';

test('stands still until it is told to advance', async () => {
  const clock = createVirtualClock({ nowMs: 1000 });
  expect(clock.now()).toBe(1000);
  await clock.advance(250);
  expect(clock.now()).toBe(1250);
  await clock.advance(0);
  expect(clock.now()).toBe(1250);
});

test('starts at the same moment in every process', () => {
  expect(new Date(createVirtualClock().now()).toISOString()).toBe('2026-01-01T00:00:00.000Z');
});

test('runs timers in the order of their times, each at its own time', async () => {
  const clock = createVirtualClock({ nowMs: 0 });
  const seen: [string, number][] = [];
  const note = (name: string) => () => void seen.push([name, clock.now()]);
  clock.schedule(30, note('c'));
  clock.schedule(10, note('a'));
  clock.schedule(20, note('b1'));
  clock.schedule(20, note('b2'));
  clock.schedule(31, note('late'));
  await clock.advance(30);
  expect(seen).toEqual([
    ['a', 10],
    ['b1', 20],
    ['b2', 20],
    ['c', 30],
  ]);
  expect(clock.pending).toBe(1);
});

test('does not run a timer that was cancelled, also by another one that was due before', async () => {
  const clock = createVirtualClock();
  const seen: string[] = [];
  const cancelFirst = clock.schedule(5, () => seen.push('first'));
  const cancelLast = clock.schedule(20, () => seen.push('last'));
  clock.schedule(10, cancelLast);
  cancelFirst();
  await clock.advance(100);
  expect(seen).toEqual([]);
  expect(clock.pending).toBe(0);
});

test('runs what a timer sets off, and the timers that come of it, in the same advance', async () => {
  const clock = createVirtualClock({ nowMs: 0 });
  const seen: number[] = [];
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => clock.schedule(ms, resolve));
  const walk = (async () => {
    for (let step = 0; step < 4; step += 1) {
      await sleep(10);
      await Promise.resolve();
      seen.push(clock.now());
    }
  })();
  await clock.advance(35);
  expect(seen).toEqual([10, 20, 30]);
  await clock.advance(5);
  await walk;
  expect(seen).toEqual([10, 20, 30, 40]);
});

test('keeps one order of time when it is advanced twice at once', async () => {
  const clock = createVirtualClock({ nowMs: 0 });
  const seen: number[] = [];
  clock.schedule(10, () => seen.push(clock.now()));
  clock.schedule(25, () => seen.push(clock.now()));
  await Promise.all([clock.advance(20), clock.advance(10)]);
  expect(seen).toEqual([10, 25]);
  expect(clock.now()).toBe(30);
});

test('refuses to run backwards', () => {
  const clock = createVirtualClock();
  expect(() => clock.advance(-1)).toThrow(RangeError);
  expect(() => clock.advance(Number.NaN)).toThrow(RangeError);
});
