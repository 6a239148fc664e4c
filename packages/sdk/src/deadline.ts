/**
 * Whole milliseconds that are left of a time limit which began at `startedAt` (by `performance.now()`); at
 * least 1, as 0 is no limit.
 */
export function remainingMs(timeoutMs: number, startedAt: number): number {
  return Math.max(1, Math.ceil(timeoutMs - (performance.now() - startedAt)));
}
