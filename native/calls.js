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
