import { systemClock, type Clock } from '../ports/clock.js';
import { onAbort } from './on-abort.js';

/** How long something is waited for. */
export interface Limits {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** What `timeoutMs` is measured by; default: the system's. */
  readonly clock?: Clock | undefined;
}

/**
 * Waits for a promise, but no longer than its limits: rejects with the signal's reason, or answers with what
 * `onTimeout` does. The promise itself goes on; what it may still reject with is nobody's.
 */
export async function within<T>(
  flight: Promise<T>,
  { signal, timeoutMs, clock = systemClock }: Limits,
  onTimeout: () => T | Promise<T>,
): Promise<T> {
  flight.catch(() => undefined);
  signal?.throwIfAborted();
  const undo: (() => void)[] = [];
  const limit = new Promise<'timeout'>((resolve, reject) => {
    if (timeoutMs !== undefined) undo.push(clock.schedule(timeoutMs, () => resolve('timeout')));
    undo.push(onAbort(signal, () => reject(signal?.reason as Error)));
  });
  try {
    const first = await Promise.race([flight.then((value) => ({ value })), limit]);
    return first === 'timeout' ? await onTimeout() : first.value;
  } finally {
    for (const stop of undo) stop();
  }
}

/**
 * Waits for the promise or for the abort, whichever is first; an abort rejects with the signal's reason,
 * whatever becomes of the promise.
 */
export function untilAborted<T>(flight: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return within(flight, { signal }, () => flight);
}

/** Waits so long on the clock. An abort rejects with the signal's reason. */
export async function delay(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  await within(
    new Promise<never>(() => undefined),
    { signal, timeoutMs: ms, clock },
    () => undefined as never,
  );
}
