/**
 * Work of the addon that calls back. What a callback of the caller's throws there would reach nobody and end
 * this process: it aborts the work instead, which then rejects with it.
 */
export class GuardedWork {
  readonly #failed = new AbortController();
  /** For the work: the caller's signal, and a callback that threw. */
  readonly signal: AbortSignal;

  constructor(signal?: AbortSignal) {
    const own = this.#failed.signal;
    this.signal = signal === undefined ? own : AbortSignal.any([signal, own]);
  }

  guard<A extends readonly unknown[]>(callback: (...args: A) => void): (...args: A) => void {
    return (...args) => {
      try {
        callback(...args);
      } catch (error) {
        this.abort(error);
      }
    };
  }

  abort(reason: unknown): void {
    this.#failed.abort(reason);
  }
}
