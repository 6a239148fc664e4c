import { setImmediate } from 'node:timers';
import type { Clock } from '@microvm/runtime';

/** A clock that stands still until it is told to advance. */
export interface VirtualClock extends Clock {
  /** Timers that wait. */
  readonly pending: number;
  /**
   * Moves time on by `ms`, running the timers that become due in their order, each at its own time. Between
   * two timers, and before the first, promises settle, so that what a timer set off can set timers of its own
   * that still run in this call. What waits for real input or output (a file) is not waited for.
   */
  advance(ms: number): Promise<void>;
  /** Sets the date, as an administrator does: `monotonic()` and the timers do not see it. */
  setNow(nowMs: number): void;
}

interface Timer {
  readonly dueAt: number;
  readonly callback: () => void;
}

/** Lets promises, `process.nextTick` and streams in this process come to rest. */
async function settle(): Promise<void> {
  // A stream that hands over to another one needs a turn of the event loop for each of them.
  for (let turn = 0; turn < 4; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Makes a clock that starts at `nowMs` (milliseconds since 1970), by default at the first moment of 2026. */
export function createVirtualClock(options: { readonly nowMs?: number } = {}): VirtualClock {
  let elapsedMs = 0;
  let startMs = options.nowMs ?? Date.UTC(2026, 0, 1);
  let advancing = Promise.resolve();
  // Sorted by due time; timers of the same time in the order in which they were set.
  const timers: Timer[] = [];

  function insert(timer: Timer): void {
    let index = timers.length;
    while (index > 0 && (timers[index - 1] as Timer).dueAt > timer.dueAt) index -= 1;
    timers.splice(index, 0, timer);
  }

  async function advanceTo(untilMs: number): Promise<void> {
    await settle();
    for (let next = timers[0]; next !== undefined && next.dueAt <= untilMs; next = timers[0]) {
      timers.shift();
      elapsedMs = next.dueAt;
      next.callback();
      await settle();
    }
    elapsedMs = untilMs;
  }

  return {
    now: () => startMs + elapsedMs,
    monotonic: () => elapsedMs,
    setNow(nowMs) {
      startMs = nowMs - elapsedMs;
    },
    schedule(delayMs, callback) {
      const timer = { dueAt: elapsedMs + Math.max(0, delayMs), callback };
      insert(timer);
      return () => {
        const index = timers.indexOf(timer);
        if (index >= 0) timers.splice(index, 1);
      };
    },
    get pending() {
      return timers.length;
    },
    advance(ms) {
      if (!(ms >= 0)) throw new RangeError(`advance by ${ms} ms: time does not run backwards`);
      // One after the other: two that ran at once would see each other's time.
      advancing = advancing.then(() => advanceTo(elapsedMs + ms));
      return advancing;
    },
  };
}
