import { constants } from 'node:os';
import { absolute, invalid, object } from './calls.js';
import { binaryPath, loadAddon } from './load.js';

export * from './cgroup.js';
export * from './files.js';
export * from './host.js';
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
  const { args = [], fds = [], env } = object(options, 'options');
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
  const { mode = 0o600, backlog = 511 } = object(options, 'options');
  return loadAddon().listenUnix(absolute(path, 'path'), mode, backlog);
}

export function sendDescriptors(socketFd, data, fds) {
  loadAddon().sendDescriptors(socketFd, data, fds);
}

export function watcherPath() {
  return binaryPath('microvm-watcher');
}

export function probeKvm() {
  return loadAddon().probeKvm();
}
