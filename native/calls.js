import { resolve } from 'node:path';
import { loadAddon } from './load.js';

export function invalid(name, expected) {
  return Object.assign(new TypeError(`"${name}" must be ${expected}`), { code: 'ERR_INVALID_ARG_TYPE' });
}

/** The path as the kernel will see it, whatever the working directory is when another thread gets to it. */
export function absolute(path, name) {
  if (typeof path === 'string' && path !== '') return resolve(path);
  throw invalid(name, 'a string that is not empty');
}

export function object(value, name) {
  if (typeof value === 'object' && value !== null) return value;
  throw invalid(name, 'an object');
}

export function abortSignal(value) {
  if (value === undefined || value instanceof AbortSignal) return value;
  throw invalid('signal', 'an AbortSignal');
}

/** Starts a long call that a signal may abort; it rejects with the signal's reason then. */
export function abortable(signal, start, cancelById = (id) => loadAddon().cancelJob(id)) {
  if (abortSignal(signal)?.aborted) return Promise.reject(signal.reason);
  const { id, settled } = start();
  if (signal === undefined) return settled;
  const cancel = () => cancelById(id);
  signal.addEventListener('abort', cancel, { once: true });
  return settled
    .catch((error) => {
      throw error.code === 'ECANCELED' ? signal.reason : error;
    })
    .finally(() => signal.removeEventListener('abort', cancel));
}

/** For a call that only looks: an abort rejects at once, and the work ends by itself soon after. */
export function untilAborted(signal, start) {
  if (abortSignal(signal)?.aborted) return Promise.reject(signal.reason);
  const done = start();
  if (signal === undefined) return done;
  let abort;
  const aborted = new Promise((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  return Promise.race([done, aborted]).finally(() => signal.removeEventListener('abort', abort));
}

/** For a short call with an effect: when it was aborted meanwhile, the effect is undone before it rejects. */
export function undoneIfAborted(signal, start, undo) {
  if (abortSignal(signal)?.aborted) return Promise.reject(signal.reason);
  return start().then(async (value) => {
    if (!signal?.aborted) return value;
    await undo(value);
    throw signal.reason;
  });
}

/** Says that what the addon has delivered is somebody's now; unclaimed it would go with the environment. */
export function claimed(id, value) {
  loadAddon().claim(id);
  return value;
}

/** For a call that cannot be taken back: an abort that comes before it begins rejects, a later one has no effect. */
export function unlessAborted(signal, start) {
  return abortSignal(signal)?.aborted ? Promise.reject(signal.reason) : start();
}
