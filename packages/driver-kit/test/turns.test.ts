import { describe, expect, it } from 'vitest';
import { Turns } from '../src/process/turns.js';

const never = new AbortController().signal;

/** Work that ends when told to, and what of it has begun. */
function makeWork() {
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const work = (n: number) => () => {
    begun.push(n);
    return new Promise<number>((resolve) => (ends[n] = () => resolve(n)));
  };
  return { begun, ends, work };
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('Turns', () => {
  it('lets so many work at once, and the others in the order they came', async () => {
    const turns = new Turns(2);
    const { begun, ends, work } = makeWork();
    const runs = [0, 1, 2, 3].map((n) => turns.run(work(n), never));
    await settled();
    expect(begun).toEqual([0, 1]);
    ends[1]?.();
    await settled();
    expect(begun).toEqual([0, 1, 2]);
    ends[0]?.();
    await settled();
    ends[2]?.();
    ends[3]?.();
    expect(await Promise.all(runs)).toEqual([0, 1, 2, 3]);
  });

  it('never begins work that was aborted while it waited, and passes it over', async () => {
    const turns = new Turns(1);
    const { begun, ends, work } = makeWork();
    const abort = new AbortController();
    const first = turns.run(work(0), never);
    const second = turns.run(work(1), abort.signal);
    const third = turns.run(work(2), never);
    abort.abort(new Error('no longer wanted'));
    await expect(second).rejects.toThrow('no longer wanted');
    ends[0]?.();
    await first;
    await settled();
    ends[2]?.();
    await third;
    expect(begun).toEqual([0, 2]);
    await expect(turns.run(work(3), abort.signal)).rejects.toThrow('no longer wanted');
  });

  it('passes the turn on after work that failed', async () => {
    const turns = new Turns(1);
    const failed = turns.run(() => Promise.reject(new Error('failed')), never);
    const next = turns.run(() => Promise.resolve('done'), never);
    await expect(failed).rejects.toThrow('failed');
    expect(await next).toBe('done');
  });
});
