import type { FailedMessage } from './messages.js';

/** Of errors that nobody took: their sessions ended before the host heard of them. */
const MOST_KEPT = 256;

/**
 * What scripts of a guest have thrown. A frame cannot carry an error object, and the host that runs the
 * script is this process: the frame carries a name under which the host finds the very error.
 */
export class ScriptErrors {
  readonly #errors = new Map<string, unknown>();
  #last = 0;

  /** Answers what the frame says. */
  keep(error: unknown): FailedMessage {
    this.#last += 1;
    const step = `script ${this.#last}`;
    this.#errors.set(step, error);
    const [oldest] = this.#errors.keys();
    if (this.#errors.size > MOST_KEPT && oldest !== undefined) this.#errors.delete(oldest);
    return { errno: 'EIO', step };
  }

  /** The error that a frame names, once. */
  take({ step }: FailedMessage): { readonly error: unknown } | undefined {
    if (!this.#errors.has(step)) return undefined;
    const error = this.#errors.get(step);
    this.#errors.delete(step);
    return { error };
  }
}
