const callbacksOf = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls back once when the signal aborts, at once where it has; the answer takes it back. However many wait
 * on one signal, the signal has one listener: a caller who hands the same signal to a hundred calls must not
 * be warned of a leak.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    callback();
    return () => undefined;
  }
  const callbacks = callbacksOf.get(signal) ?? listenTo(signal);
  // A callback that is passed twice is called twice.
  const entry = (): void => callback();
  callbacks.add(entry);
  return () => {
    callbacks.delete(entry);
    if (callbacks.size === 0) stopListening(signal);
  };
}

const listeners = new WeakMap<AbortSignal, () => void>();

function listenTo(signal: AbortSignal): Set<() => void> {
  const callbacks = new Set<() => void>();
  const listener = (): void => {
    stopListening(signal);
    for (const callback of callbacks) callback();
  };
  callbacksOf.set(signal, callbacks);
  listeners.set(signal, listener);
  signal.addEventListener('abort', listener, { once: true });
  return callbacks;
}

function stopListening(signal: AbortSignal): void {
  const listener = listeners.get(signal);
  if (listener !== undefined) signal.removeEventListener('abort', listener);
  listeners.delete(signal);
  callbacksOf.delete(signal);
}
