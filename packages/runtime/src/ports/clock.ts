/** Where time comes from: the system, or a test. */
export interface Clock {
  /**
   * Milliseconds since 1970, UTC: for dates that are shown or kept. It jumps when the host's clock is set.
   */
  now(): number;
  /** Milliseconds since some moment: for durations. It only grows, whatever is done to the host's clock. */
  monotonic(): number;
  /** Calls back once after `delayMs`; the answer cancels it. */
  schedule(delayMs: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  schedule(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
