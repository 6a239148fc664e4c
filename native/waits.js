import { Socket } from 'node:net';
import { abortable, abortSignal, absolute, claimed, invalid, object } from './calls.js';
import { loadAddon } from './load.js';

const DEADLINE_MS = 30_000;
const LONGEST_DEADLINE_MS = 2 ** 31 - 1;
const LARGEST_PORT = 2 ** 32 - 2;
const BACKLOG = 511;

/** How long a wait may take, for the addon; undefined: for ever. */
function limit(deadline) {
  if (deadline === Infinity) return undefined;
  if (typeof deadline === 'number' && deadline >= 0 && deadline <= LONGEST_DEADLINE_MS)
    return Math.ceil(deadline);
  throw invalid('deadline', `a number of milliseconds from 0 to ${LONGEST_DEADLINE_MS}, or Infinity`);
}

/** What ends every wait, but for the signal. */
function ends({ deadline, process }) {
  const identity = process === undefined ? undefined : (object(process, 'process').identity ?? process);
  return { deadline: limit(deadline), process: identity };
}

function port(number) {
  if (Number.isInteger(number) && number >= 0 && number <= LARGEST_PORT) return number;
  throw invalid('port', `an integer from 0 to ${LARGEST_PORT}`);
}

/** A stream that owns the descriptor; claimed only then, for a worker may be terminated in between. */
function stream({ id, fd }, allowHalfOpen) {
  try {
    return claimed(id, new Socket({ fd, allowHalfOpen, readable: true, writable: true }));
  } catch (error) {
    loadAddon().giveBack(id);
    throw error;
  }
}

function connected({ signal, allowHalfOpen = false }, start) {
  if (typeof allowHalfOpen !== 'boolean') throw invalid('allowHalfOpen', 'a boolean');
  const cancel = (id) => loadAddon().cancelWait(id);
  return abortable(signal, start, cancel).then((socket) => {
    if (!signal?.aborted) return stream(socket, allowHalfOpen);
    // It was connected already: who has aborted would not look for it.
    loadAddon().giveBack(socket.id);
    throw signal.reason;
  });
}

export function waitForSocket(options) {
  const { path, deadline = DEADLINE_MS, process } = object(options, 'options');
  const request = { path: absolute(path, 'path'), ...ends({ deadline, process }) };
  return connected(options, () => loadAddon().waitForSocket(request));
}

export function waitForVsock(options) {
  const { path, deadline = DEADLINE_MS, process } = object(options, 'options');
  const request = { path: absolute(path, 'path'), port: port(options.port), ...ends({ deadline, process }) };
  return connected(options, () => loadAddon().waitForVsock(request));
}

class VsockListener {
  #id;
  #closed;

  constructor(id, path) {
    this.#id = id;
    this.path = path;
  }

  accept(options = {}) {
    const { deadline = Infinity, process } = object(options, 'options');
    const request = { path: this.path, ...ends({ deadline, process }) };
    return connected(options, () => loadAddon().acceptSocket(this.#id, request));
  }

  async *[Symbol.asyncIterator]() {
    while (this.#closed === undefined) {
      try {
        yield await this.accept();
      } catch (error) {
        if (this.#closed === undefined) throw error;
      }
    }
  }

  close() {
    this.#closed ??= loadAddon().closeListener(this.#id);
    return this.#closed;
  }

  [Symbol.asyncDispose]() {
    return this.close();
  }
}

export function listenVsock(options) {
  const { path, uid, gid, mode = 0o600, backlog = BACKLOG, signal } = object(options, 'options');
  const file = `${absolute(path, 'path')}_${port(options.port)}`;
  if (abortSignal(signal)?.aborted) return Promise.reject(signal.reason);
  const listening = loadAddon().listenSocket({ path: file, mode, backlog, uid, gid });
  return listening.then(async (id) => {
    if (!signal?.aborted) return claimed(id, new VsockListener(id, file));
    await loadAddon().closeListener(id);
    throw signal.reason;
  });
}
