import { monitorEventLoopDelay } from 'node:perf_hooks';

export const LOOP_DELAY_RESOLUTION_MS = 1;

/** How late the event loop of this process comes to anything, from now to `end`. */
export class LoopDelay {
  readonly #histogram = monitorEventLoopDelay({ resolution: LOOP_DELAY_RESOLUTION_MS });

  constructor() {
    this.#histogram.enable();
  }

  /** The 99th percentile, in milliseconds. */
  end(): number {
    this.#histogram.disable();
    return this.#histogram.percentile(99) / 1e6;
  }
}
