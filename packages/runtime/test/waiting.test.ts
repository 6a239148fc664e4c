import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { delay, onAbort, systemClock, untilAborted, within } from '../src/index.js';

function listenersOf(signal: AbortSignal): number {
  return getEventListeners(signal, 'abort').length;
}

function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}

describe('however many wait on a signal', () => {
  it('it has one listener, and none when nobody waits any more', async () => {
    const abort = new AbortController();
    const stops = Array.from({ length: 50 }, () => onAbort(abort.signal, () => undefined));
    const waits = Array.from({ length: 50 }, () => untilAborted(Promise.resolve(1), abort.signal));
    expect(listenersOf(abort.signal)).toBe(1);
    await Promise.all(waits);
    for (const stop of stops) stop();
    expect(listenersOf(abort.signal)).toBe(0);
  });

  it('each of them is told once, in the order in which they came, but those that stopped', () => {
    const abort = new AbortController();
    const told: string[] = [];
    onAbort(abort.signal, () => told.push('first'));
    const stop = onAbort(abort.signal, () => told.push('stopped'));
    onAbort(abort.signal, () => told.push('last'));
    stop();
    abort.abort();
    expect(told).toEqual(['first', 'last']);
    onAbort(abort.signal, () => told.push('late'));
    expect(told).toEqual(['first', 'last', 'late']);
    expect(listenersOf(abort.signal)).toBe(0);
  });

  it('one that is told may take another’s turn away', () => {
    const abort = new AbortController();
    const told: string[] = [];
    let stop = (): void => undefined;
    onAbort(abort.signal, () => {
      told.push('first');
      stop();
    });
    stop = onAbort(abort.signal, () => told.push('second'));
    abort.abort();
    expect(told).toEqual(['first']);
  });
});

describe('a wait', () => {
  it('ends by its promise, by its time or by its signal', async () => {
    expect(await within(Promise.resolve('done'), { timeoutMs: 60_000 }, () => 'late')).toBe('done');
    expect(await within(never<string>(), { timeoutMs: 1 }, () => 'late')).toBe('late');
    const abort = new AbortController();
    const waiting = untilAborted(never(), abort.signal);
    abort.abort('enough');
    await expect(waiting).rejects.toBe('enough');
    await expect(untilAborted(never(), abort.signal)).rejects.toBe('enough');
  });

  it('leaves nobody with what its promise rejects with later', async () => {
    const abort = new AbortController();
    abort.abort('enough');
    await expect(untilAborted(Promise.reject(new Error('late')), abort.signal)).rejects.toBe('enough');
  });

  it('on a clock rejects by its signal, and takes its timer along', async () => {
    const abort = new AbortController();
    let pending = 0;
    const clock = {
      ...systemClock,
      schedule: () => {
        pending += 1;
        return () => void (pending -= 1);
      },
    };
    const waiting = delay(clock, 1000, abort.signal);
    expect(pending).toBe(1);
    abort.abort('enough');
    await expect(waiting).rejects.toBe('enough');
    expect(pending).toBe(0);
  });
});
