import { constants } from 'node:os';
import { resolve } from 'node:path';
import { binaryPath, loadAddon } from './load.js';

const NEWEST_REALTIME_SIGNAL = 64;

/** The path as the kernel will see it, whatever the working directory is when another thread gets to it. */
function absolute(path, name) {
  if (typeof path === 'string' && path !== '') return resolve(path);
  throw invalid(name, 'a string that is not empty');
}

function invalid(name, expected) {
  return Object.assign(new TypeError(`"${name}" must be ${expected}`), { code: 'ERR_INVALID_ARG_TYPE' });
}

function signalNumber(signal) {
  const number = typeof signal === 'string' ? constants.signals[signal] : signal;
  if (Number.isInteger(number) && number >= 0 && number <= NEWEST_REALTIME_SIGNAL) return number;
  throw invalid('signal', 'the name or number of a signal');
}

function signalName(number) {
  const named = Object.entries(constants.signals).find(([, value]) => value === number);
  return named === undefined ? `SIG${number}` : named[0];
}

class WatchedProcess {
  #id;

  constructor({ id, identity, exited }) {
    this.#id = id;
    this.identity = Object.freeze(identity);
    this.exited = exited.then(({ exitCode, signal }) => ({
      exitCode,
      signal: signal === null ? null : signalName(signal),
    }));
  }

  kill(signal) {
    return loadAddon().killProcess(this.#id, signalNumber(signal));
  }

  ref() {
    loadAddon().holdProcess(this.#id, true);
    return this;
  }

  unref() {
    loadAddon().holdProcess(this.#id, false);
    return this;
  }

  close() {
    loadAddon().closeProcess(this.#id);
  }
}

class HeldLock {
  #id;

  constructor(id) {
    this.#id = id;
  }

  release() {
    loadAddon().unlockDirectory(this.#id);
  }
}

export function processIdentity(pid) {
  return loadAddon().processIdentity(pid);
}

export function bootId() {
  return loadAddon().bootId();
}

function environment(env = process.env) {
  if (typeof env !== 'object' || env === null) throw invalid('env', 'an object');
  return Object.entries(env)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value}`);
}

export function spawnProcess(options) {
  if (typeof options !== 'object' || options === null) throw invalid('options', 'an object');
  const { args = [], fds = [], env } = options;
  const started = loadAddon().spawnProcess({ ...options, args, fds, env: environment(env) });
  return started.then((child) => new WatchedProcess(child));
}

export function watchProcess(identity) {
  return new WatchedProcess(loadAddon().watchProcess(identity));
}

export function findProcesses(needle) {
  return loadAddon().findProcesses(needle);
}

export function lockDirectory(path) {
  return loadAddon()
    .lockDirectory(absolute(path, 'path'))
    .then((id) => new HeldLock(id));
}

export function writeDurable(path, data) {
  return loadAddon().writeDurable(absolute(path, 'path'), data);
}

export function removeDurable(path) {
  return loadAddon().removeDurable(absolute(path, 'path'));
}

export function renameDurable(from, to) {
  return loadAddon().renameDurable(absolute(from, 'from'), absolute(to, 'to'));
}

export function connectUnix(path) {
  return loadAddon().connectUnix(absolute(path, 'path'));
}

export function listenUnix(path, options = {}) {
  if (typeof options !== 'object' || options === null) throw invalid('options', 'an object');
  const { mode = 0o600, backlog = 511 } = options;
  return loadAddon().listenUnix(absolute(path, 'path'), mode, backlog);
}

export function sendDescriptors(socketFd, data, fds) {
  loadAddon().sendDescriptors(socketFd, data, fds);
}

/** Starts a long call that a signal may abort; it rejects with the signal's reason then. */
function abortable(signal, start) {
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalid('signal', 'an AbortSignal');
  if (signal?.aborted) return Promise.reject(signal.reason);
  const { id, settled } = start();
  if (signal === undefined) return settled;
  const cancel = () => loadAddon().cancelJob(id);
  signal.addEventListener('abort', cancel, { once: true });
  return settled
    .catch((error) => {
      throw error.code === 'ECANCELED' ? signal.reason : error;
    })
    .finally(() => signal.removeEventListener('abort', cancel));
}

export function copyFile(from, to, copyOptions = {}) {
  if (typeof copyOptions !== 'object' || copyOptions === null) throw invalid('options', 'an object');
  const { signal, ...options } = copyOptions;
  const paths = [absolute(from, 'from'), absolute(to, 'to')];
  return abortable(signal, () => loadAddon().copyFile(...paths, options));
}

export function digestFile(path, options = {}) {
  if (typeof options !== 'object' || options === null) throw invalid('options', 'an object');
  const { chunkBytes = 4 << 20, signal } = options;
  const file = absolute(path, 'path');
  return abortable(signal, () => loadAddon().digestFile(file, chunkBytes));
}

export function watcherPath() {
  return binaryPath('microvm-watcher');
}

export function probeKvm() {
  return loadAddon().probeKvm();
}
