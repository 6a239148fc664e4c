import { describe, expect, it } from 'vitest';
import { Lanes } from '../src/engine/lanes.js';

const never = new AbortController().signal;

/** A task that ends when told to. */
function manual(): { task: () => Promise<void>; started: Promise<void>; finish: () => void } {
  let start!: () => void;
  let finish!: () => void;
  const started = new Promise<void>((resolve) => (start = resolve));
  const done = new Promise<void>((resolve) => (finish = resolve));
  return { started, finish, task: () => (start(), done) };
}

describe('Lanes', () => {
  it('runs tasks of one key in the order of their calls', async () => {
    const lanes = new Lanes();
    const order: number[] = [];
    const runs = [1, 2, 3].map((n) => lanes.run(['a'], never, async () => void order.push(n)));
    await Promise.all(runs);
    expect(order).toEqual([1, 2, 3]);
  });

  it('runs tasks of different keys at once', async () => {
    const lanes = new Lanes();
    const first = manual();
    const second = manual();
    const runs = [lanes.run(['a'], never, first.task), lanes.run(['b'], never, second.task)];
    await Promise.all([first.started, second.started]);
    first.finish();
    second.finish();
    await Promise.all(runs);
  });

  it('does not deadlock when two tasks want the same two keys in opposite order', async () => {
    const lanes = new Lanes();
    const order: string[] = [];
    await Promise.all([
      lanes.run(['a', 'b'], never, async () => void order.push('ab')),
      lanes.run(['b', 'a'], never, async () => void order.push('ba')),
    ]);
    expect(order).toEqual(['ab', 'ba']);
  });

  it('holds every key of a task that has several', async () => {
    const lanes = new Lanes();
    const both = manual();
    const order: string[] = [];
    const run = lanes.run(['a', 'b'], never, both.task);
    const later = lanes.run(['b'], never, async () => void order.push('b'));
    await both.started;
    expect(order).toEqual([]);
    both.finish();
    await Promise.all([run, later]);
    expect(order).toEqual(['b']);
  });

  it('never runs a task that was aborted while it waited, and lets the next one go on', async () => {
    const lanes = new Lanes();
    const first = manual();
    const abort = new AbortController();
    const reason = new Error('changed my mind');
    let hasRun = false;
    const run = lanes.run(['a'], never, first.task);
    const waiting = lanes.run(['a'], abort.signal, async () => void (hasRun = true));
    const last = lanes.run(['a'], never, async () => 'last');
    abort.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    first.finish();
    await run;
    expect(await last).toBe('last');
    expect(hasRun).toBe(false);
  });

  it('goes on after a task that failed', async () => {
    const lanes = new Lanes();
    const failing = lanes.run(['a'], never, () => Promise.reject(new Error('no')));
    const next = lanes.run(['a'], never, async () => 'yes');
    await expect(failing).rejects.toThrow('no');
    expect(await next).toBe('yes');
  });
});
