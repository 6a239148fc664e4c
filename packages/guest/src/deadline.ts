import { onAbort, VmRuntimeError } from '@microvm/runtime';

/** Node fires a longer timer at once. */
const LONGEST_TIMER_MS = 0x7fff_ffff;

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/**
 * Calls `onEnd` once when the signal aborts (with its reason) or the time is up; the function answered takes
 * it back. A signal that has aborted before the call is for the caller to look at.
 */
export function watchDeadline(
  operation: string,
  options: CallOptions,
  onEnd: (reason: unknown) => void,
): () => void {
  const { signal, timeoutMs } = options;
  let timer: NodeJS.Timeout | undefined;
  const pending = signal?.aborted === true ? undefined : signal;
  const stopListening = onAbort(pending, () => {
    clearTimeout(timer);
    onEnd(signal?.reason);
  });
  const stop = (): void => {
    clearTimeout(timer);
    stopListening();
  };
  if (timeoutMs !== undefined) {
    timer = setTimeout(
      () => {
        stop();
        const message = `${operation}: no end after ${timeoutMs} ms`;
        onEnd(new VmRuntimeError('MICROVM_TIMEOUT', message, { details: { operation, timeoutMs } }));
      },
      Math.min(timeoutMs, LONGEST_TIMER_MS),
    );
  }
  return stop;
}
