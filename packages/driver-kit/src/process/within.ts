/** How long something is waited for. */
export interface Limits {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

/**
 * Waits for a promise, but no longer than its limits: rejects with the signal's reason, or answers with what `onTimeout` does. The
 * promise itself goes on; what it may still reject with is nobody's.
 */
export async function within<T>(
  flight: Promise<T>,
  { signal, timeoutMs }: Limits,
  onTimeout: () => T | Promise<T>,
): Promise<T> {
  flight.catch(() => undefined);
  signal?.throwIfAborted();
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  const limit = new Promise<'timeout'>((resolve, reject) => {
    if (timeoutMs !== undefined) timer = setTimeout(() => resolve('timeout'), timeoutMs);
    onAbort = () => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
  try {
    const first = await Promise.race([flight.then((value) => ({ value })), limit]);
    return first === 'timeout' ? await onTimeout() : first.value;
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
  }
}
