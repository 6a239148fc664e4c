import { warnOf } from './warn-of.js';

/** Work that no call waits for, but `close()` does. What fails is told as a warning. */
export class Background {
  readonly #flights = new Set<Promise<void>>();

  add(operation: string, work: Promise<void>): void {
    const flight = work
      .catch((error: unknown) => warnOf(operation, error))
      .finally(() => this.#flights.delete(flight));
    this.#flights.add(flight);
  }

  /** Resolves when no task is left. */
  async idle(): Promise<void> {
    while (this.#flights.size > 0) await Promise.all(this.#flights);
  }
}
