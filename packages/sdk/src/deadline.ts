/** Whole milliseconds that are left of a time limit which began at `startedAt` (by `performance.now()`); at least 1, as 0 is no limit. */
export function remainingMs(timeoutMs: number, startedAt: number): number {
  return Math.max(1, Math.ceil(timeoutMs - (performance.now() - startedAt)));
}

/** Rejects with the signal's reason as soon as it aborts, whatever becomes of the work. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
