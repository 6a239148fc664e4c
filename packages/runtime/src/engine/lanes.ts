import { untilAborted } from '../waiting/within.js';

/**
 * Runs tasks that share a key one after the other, in the order of their calls; tasks without a common key at
 * once. A task of several keys takes its place in all of its lanes in the same turn, so lanes cannot
 * deadlock.
 */
export class Lanes {
  readonly #tails = new Map<string, Promise<void>>();

  /**
   * Runs the task when it is its turn. A task that is aborted before never runs, gives up its place and
   * rejects with the signal's reason.
   */
  async run<T>(keys: readonly string[], signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    const turn = Promise.all(keys.map((key) => this.#tails.get(key) ?? Promise.resolve()));
    let leave!: () => void;
    const done = new Promise<void>((resolve) => (leave = resolve));
    const tail = turn.then(() => done);
    for (const key of keys) this.#tails.set(key, tail);
    void tail.then(() => {
      for (const key of keys) if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    try {
      await untilAborted(turn, signal);
      return await task();
    } finally {
      leave();
    }
  }
}
