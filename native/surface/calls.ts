import { resolve } from 'node:path';
import { loadAddon } from './load.js';

/** A call of the addon that can be cancelled by its number. */
export interface Started<T> {
  readonly id: number;
  readonly settled: Promise<T>;
}

export function invalid(name: string, expected: string): TypeError {
  return Object.assign(new TypeError(`"${name}" must be ${expected}`), { code: 'ERR_INVALID_ARG_TYPE' });
}

/** The path as the kernel will see it, whatever the working directory is when another thread gets to it. */
export function absolute(path: unknown, name: string): string {
  if (typeof path === 'string' && path !== '') return resolve(path);
  throw invalid(name, 'a string that is not empty');
}

export function object<T extends object>(value: T, name: string): T {
  // Who calls from JavaScript may give anything.
  if (typeof value === 'object' && (value as T | null) !== null) return value;
  throw invalid(name, 'an object');
}

export function abortSignal(value: AbortSignal | undefined): AbortSignal | undefined {
  if (value === undefined || value instanceof AbortSignal) return value;
  throw invalid('signal', 'an AbortSignal');
}

/** Starts a long call that a signal may abort; it rejects with the signal's reason then. */
export function abortable<T>(
  signal: AbortSignal | undefined,
  start: () => Started<T>,
  cancelById = (id: number): void => loadAddon().cancelJob(id),
): Promise<T> {
  if (abortSignal(signal)?.aborted) return Promise.reject(signal?.reason);
  const { id, settled } = start();
  if (signal === undefined) return settled;
  const cancel = (): void => cancelById(id);
  signal.addEventListener('abort', cancel, { once: true });
  return settled
    .catch((error: unknown) => {
      throw (error as { readonly code?: unknown }).code === 'ECANCELED' ? signal.reason : error;
    })
    .finally(() => signal.removeEventListener('abort', cancel));
}

/** For a call that only looks: an abort rejects at once, and the work ends by itself soon after. */
export function untilAborted<T>(signal: AbortSignal | undefined, start: () => Promise<T>): Promise<T> {
  if (abortSignal(signal)?.aborted) return Promise.reject(signal?.reason);
  const done = start();
  if (signal === undefined) return done;
  const { promise: aborted, reject } = withReject();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  return Promise.race([done, aborted]).finally(() => signal.removeEventListener('abort', abort));
}

function withReject(): { readonly promise: Promise<never>; readonly reject: (reason: unknown) => void } {
  let reject: (reason: unknown) => void = () => undefined;
  const promise = new Promise<never>((_, rejectIt) => {
    reject = rejectIt;
  });
  return { promise, reject };
}

/** For a short call with an effect: when it was aborted meanwhile, the effect is undone before it rejects. */
export function undoneIfAborted<T>(
  signal: AbortSignal | undefined,
  start: () => Promise<T>,
  undo: (value: T) => unknown,
): Promise<T> {
  if (abortSignal(signal)?.aborted) return Promise.reject(signal?.reason);
  return start().then(async (value) => {
    if (!signal?.aborted) return value;
    await undo(value);
    throw signal.reason;
  });
}

/** Says that what the addon has delivered is somebody's now; unclaimed it would go with the environment. */
export function claimed<T>(id: number, value: T): T {
  loadAddon().claim(id);
  return value;
}

/** For a call that cannot be undone. An abort before the call begins rejects; a later abort has no effect. */
export function unlessAborted<T>(signal: AbortSignal | undefined, start: () => Promise<T>): Promise<T> {
  return abortSignal(signal)?.aborted ? Promise.reject(signal?.reason) : start();
}
