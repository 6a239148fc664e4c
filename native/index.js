import { unlink } from 'node:fs/promises';
import { constants } from 'node:os';
import { absolute, claimed, invalid, object, undoneIfAborted, unlessAborted, untilAborted } from './calls.js';
import { binaryPath, loadAddon } from './load.js';

export * from './cgroup.js';
export * from './files.js';
export * from './network.js';
export * from './waits.js';

const NEWEST_REALTIME_SIGNAL = 64;

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
  return Object.entries(object(env, 'env'))
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value}`);
}

export function spawnProcess(options) {
  const { args = [], fds = [], env, signal } = object(options, 'options');
  const request = { ...options, args, fds, env: environment(env) };
  const spawned = undoneIfAborted(
    signal,
    () => loadAddon().spawnProcess(request),
    ({ id, exited }) => {
      loadAddon().giveBack(id);
      loadAddon().holdProcess(id, true);
      return exited;
    },
  );
  return spawned.then((child) => claimed(child.id, new WatchedProcess(child)));
}

export function watchProcess(identity) {
  return new WatchedProcess(loadAddon().watchProcess(identity));
}

export function searchProcesses(query, options = {}) {
  const { signal } = object(options, 'options');
  const { root, cwd, ...rest } = object(query, 'query');
  const request = {
    ...rest,
    ...(root === undefined ? {} : { root: absolute(root, 'query.root') }),
    ...(cwd === undefined ? {} : { cwd: absolute(cwd, 'query.cwd') }),
  };
  return untilAborted(signal, () => loadAddon().searchProcesses(request));
}

export function findProcesses(needle, options = {}) {
  if (typeof needle !== 'string') throw invalid('needle', 'a string that is not empty');
  return searchProcesses({ argument: needle }, options).then(({ found }) => found);
}

export function lockDirectory(path, options = {}) {
  const { signal } = object(options, 'options');
  const folder = absolute(path, 'path');
  return undoneIfAborted(
    signal,
    () =>
      loadAddon()
        .lockDirectory(folder)
        .then((id) => new HeldLock(id)),
    (lock) => lock.release(),
  );
}

export function writeDurable(path, data, options = {}) {
  const { signal, keepSpare = false } = object(options, 'options');
  const file = absolute(path, 'path');
  return unlessAborted(signal, () => loadAddon().writeDurable(file, data, keepSpare));
}

export function removeDurable(path, options = {}) {
  const { signal } = object(options, 'options');
  const file = absolute(path, 'path');
  return unlessAborted(signal, () => loadAddon().removeDurable(file));
}

export function renameDurable(from, to, options = {}) {
  const { signal } = object(options, 'options');
  const paths = [absolute(from, 'from'), absolute(to, 'to')];
  return unlessAborted(signal, () => loadAddon().renameDurable(...paths));
}

export function connectUnix(path, options = {}) {
  const { signal } = object(options, 'options');
  const file = absolute(path, 'path');
  const connected = undoneIfAborted(
    signal,
    () => loadAddon().connectUnix(file),
    ({ id }) => loadAddon().giveBack(id),
  );
  return connected.then(({ id, fd }) => claimed(id, fd));
}

export function listenUnix(path, options = {}) {
  const { mode = 0o600, backlog = 511, signal } = object(options, 'options');
  const file = absolute(path, 'path');
  const listening = undoneIfAborted(
    signal,
    () => loadAddon().listenUnix(file, mode, backlog),
    ({ id }) => {
      loadAddon().giveBack(id);
      return unlink(file);
    },
  );
  return listening.then(({ id, fd }) => claimed(id, fd));
}

export function sendDescriptors(socketFd, data, fds) {
  loadAddon().sendDescriptors(socketFd, data, fds);
}

export function watcherPath() {
  return binaryPath('microvm-watcher');
}

export function probeKvm(options = {}) {
  const { signal } = object(options, 'options');
  return untilAborted(signal, () => loadAddon().probeKvm());
}
