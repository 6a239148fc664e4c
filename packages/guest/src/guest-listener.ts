import type { Duplex } from 'node:stream';
import { invalidArgument, isVmRuntimeError, VmRuntimeError } from '@microvm/runtime';
import type { ConnectTarget, GuestListener, ListenOptions } from '@microvm/runtime';
import { describeTarget, parseTarget } from './connect-target.js';
import { watchDeadline } from './deadline.js';
import { openSocket } from './guest-socket.js';
import { encodeAccept, encodeListen } from './socket-messages.js';
import type { FailedMessage } from './messages.js';
import type { ListenMessage } from './socket-messages.js';
import { ProtocolError } from './protocol.js';
import type { OutputChannel } from './protocol.js';
import { frameCost } from './flow-control.js';
import { AgentStream } from './stream.js';
import type { StreamUser } from './stream.js';
import type { StreamQueue } from './stream-queue.js';
import { tooOld } from './too-old.js';
import { Wakeups } from './wakeups.js';

const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_MODE = 0o600;
const MAX_LISTENERS = 64;
const NUMBER_BYTES = 4;
/** What may wait at the agent: it accepts no more. */
const MAX_WAITING = 16;
/** How long the agent may take to hand over a connection that it has. */
const ACCEPT_TIMEOUT_MS = 10_000;

/** A connection that waits in the guest. */
interface Waiting {
  readonly listener: number;
  readonly connection: number;
}

/** The sockets of one guest that the host listens on. They end with the guest's life. */
export class Listeners {
  readonly #queue: StreamQueue;
  readonly #serve: () => void;
  readonly #open = new Set<AgentListener>();
  #lost: (() => Error) | undefined;

  /** `serve` opens the session that the queue waits for. */
  constructor(queue: StreamQueue, serve: () => void = () => undefined) {
    this.#queue = queue;
    this.#serve = serve;
  }

  /** See `Guest.listen`. */
  open(target: ConnectTarget, options: ListenOptions = {}): Promise<GuestListener> {
    const { mode = DEFAULT_MODE, signal, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    if (!Number.isInteger(mode) || mode < 0 || mode > 0o777)
      throw invalidArgument('mode', 'permissions from 0 to 0o777');
    const message = { target: parseTarget(target), mode };
    signal?.throwIfAborted();
    if (this.#lost !== undefined) throw this.#lost();
    if (this.#open.size >= MAX_LISTENERS) throw tooMany();
    return new Promise((resolve, reject) => {
      let stopWatching = (): void => undefined;
      const listener = new AgentListener(this.#queue, this.#serve, message, (error) => {
        stopWatching();
        if (error === undefined) {
          resolve(listener);
        } else {
          this.#open.delete(listener);
          reject(error);
        }
      });
      listener.onClosed = () => this.#open.delete(listener);
      this.#open.add(listener);
      stopWatching = watchDeadline(
        'listen',
        { ...(signal === undefined ? {} : { signal }), timeoutMs },
        (reason) => listener.giveUp(reason),
      );
      listener.start();
    });
  }

  /** Ends all of them; whoever asks for another one gets this error. */
  close(lost: () => Error): void {
    this.#lost = lost;
    for (const listener of this.#open) listener.fail(lost());
  }
}

/**
 * One listener, over as many streams as it takes: when a session is lost, it listens again in the next one.
 */
class AgentListener implements GuestListener {
  readonly target: ConnectTarget;
  onClosed: () => void = () => undefined;
  readonly #queue: StreamQueue;
  readonly #serve: () => void;
  readonly #message: ListenMessage;
  readonly #waiting: Waiting[] = [];
  #onListening: ((error?: unknown) => void) | undefined;
  #attempt: Attempt | undefined;
  #end: { readonly error: Error | undefined } | undefined;
  readonly #accepting = new Wakeups();

  constructor(
    queue: StreamQueue,
    serve: () => void,
    message: ListenMessage,
    onListening: (error?: unknown) => void,
  ) {
    this.target = message.target;
    this.#queue = queue;
    this.#serve = serve;
    this.#message = message;
    this.#onListening = onListening;
  }

  start(): void {
    const attempt = new Attempt(this.#queue, this.#message, {
      onListening: () => this.#settle(),
      onWaiting: (waiting) => this.#onWaiting(waiting),
      onOver: (error, hasListened) => this.#onOver(attempt, error, hasListened),
    });
    this.#attempt = attempt;
    attempt.start();
    this.#serve();
  }

  /** Nobody waits for the listener any more. */
  giveUp(reason: unknown): void {
    const isTimeout = isVmRuntimeError(reason, 'MICROVM_TIMEOUT');
    const isLate = isTimeout && this.#attempt?.isWaiting === true;
    this.#settle(isLate ? notBegun(this.#queue, this.#message) : reason);
    void this.close();
  }

  fail(error: Error): void {
    if (this.#end !== undefined) return;
    this.#settle(error);
    this.#finish(error);
  }

  close(): Promise<void> {
    if (this.#end === undefined) this.#finish(undefined);
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Duplex, void, undefined> {
    for (;;) {
      const socket = await this.#next();
      if (socket === undefined) return;
      yield socket;
    }
  }

  /** The next connection that is still there; undefined at the end. */
  async #next(): Promise<Duplex | undefined> {
    for (;;) {
      if (this.#end !== undefined) {
        if (this.#end.error !== undefined) throw this.#end.error;
        return undefined;
      }
      const waiting = this.#waiting.shift();
      if (waiting === undefined) {
        await this.#accepting.wait();
        continue;
      }
      const socket = await this.#accept(waiting);
      if (socket !== undefined) return socket;
    }
  }

  /** Undefined: the connection went with its session. */
  async #accept(waiting: Waiting): Promise<Duplex | undefined> {
    const target = describeTarget(this.target);
    const request = { operation: `accept at ${target}`, target, body: encodeAccept(waiting) };
    try {
      return await openSocket(this.#queue, request, { timeoutMs: ACCEPT_TIMEOUT_MS });
    } catch {
      return undefined;
    }
  }

  #onWaiting(waiting: Waiting): void {
    if (this.#waiting.length >= MAX_WAITING) throw new ProtocolError('more connections than can wait');
    this.#waiting.push(waiting);
    this.#accepting.wakeAll();
  }

  #onOver(attempt: Attempt, error: Error, hasListened: boolean): void {
    if (attempt !== this.#attempt || this.#end !== undefined) return;
    this.#waiting.length = 0;
    // A session was lost: the next one has a listener again. One that could not even be begun is over.
    if (hasListened) setImmediate(() => this.#end ?? this.start());
    else this.fail(error);
  }

  #settle(error?: unknown): void {
    const onListening = this.#onListening;
    this.#onListening = undefined;
    onListening?.(error);
  }

  #finish(error: Error | undefined): void {
    this.#end = { error };
    this.#waiting.length = 0;
    this.#attempt?.close();
    this.onClosed();
    this.#accepting.wakeAll();
  }
}

interface AttemptEvents {
  onListening(): void;
  onWaiting(waiting: Waiting): void;
  /** The last one. */
  onOver(error: Error, hasListened: boolean): void;
}

/** A listener in one session. */
class Attempt implements StreamUser {
  readonly #queue: StreamQueue;
  readonly #message: ListenMessage;
  readonly #events: AttemptEvents;
  readonly #stream: AgentStream;
  #hasListened = false;
  /** Numbers can be cut by frames. */
  #rest = Buffer.alloc(0);

  constructor(queue: StreamQueue, message: ListenMessage, events: AttemptEvents) {
    this.#queue = queue;
    this.#message = message;
    this.#events = events;
    this.#stream = new AgentStream(queue, this);
  }

  get isWaiting(): boolean {
    return this.#stream.opened === undefined;
  }

  start(): void {
    this.#stream.start();
  }

  close(): void {
    if (!this.#stream.withdraw()) this.#stream.cancel();
    this.#stream.close();
  }

  encode(version: number): Buffer {
    if (version < 2) throw tooOld('listen');
    return encodeListen(this.#message);
  }

  onOpened(payload: Buffer): void {
    if (payload.length > 0) throw new ProtocolError('payload too long');
    this.#hasListened = true;
    this.#events.onListening();
  }

  onData(channel: OutputChannel, data: Buffer): void {
    if (!this.#hasListened) throw new ProtocolError('a frame of a listener before it was opened');
    if (channel !== 1) throw new ProtocolError('data of a channel that a listener has not');
    const bytes = Buffer.concat([this.#rest, data]);
    const count = Math.floor(bytes.length / NUMBER_BYTES);
    this.#rest = Buffer.from(bytes.subarray(count * NUMBER_BYTES));
    const listener = this.#stream.opened?.number ?? 0;
    for (let index = 0; index < count; index++)
      this.#events.onWaiting({ listener, connection: bytes.readUInt32LE(index * NUMBER_BYTES) });
    // What may wait is bounded by its number.
    this.#stream.taken(1, frameCost(data.length));
  }

  onEnded(payload: Buffer): void {
    if (payload.length > 0) throw new ProtocolError('payload too long');
    this.#over(new Error('the guest listens no more'));
  }

  onFailed({ errno }: FailedMessage): void {
    this.#over(refused(this.#queue, this.#message, errno));
  }

  onLost(error: unknown): void {
    this.#over(error as Error);
  }

  #over(error: Error): void {
    this.#stream.close();
    this.#events.onOver(error, this.#hasListened);
  }
}

function refused({ vm }: StreamQueue, { target }: ListenMessage, errno: string): VmRuntimeError {
  const name = describeTarget(target);
  return new VmRuntimeError('MICROVM_CONNECT_FAILED', `listen on ${name} in "${vm.vmId}": ${errno}`, {
    details: { vmId: vm.vmId, target: name, errno },
  });
}

function notBegun({ vm, reason }: StreamQueue, { target }: ListenMessage): VmRuntimeError {
  const message = `listen on ${describeTarget(target)} in "${vm.vmId}": not begun: ${reason}`;
  return new VmRuntimeError('MICROVM_GUEST_BUSY', message, { details: { vmId: vm.vmId, reason } });
}

function tooMany(): VmRuntimeError {
  const message = `listen: ${MAX_LISTENERS} sockets of the guest are listened on already`;
  return new VmRuntimeError('MICROVM_HOST_FAILURE', message, {
    details: { operation: 'listen', errno: 'EMFILE' },
    remedy: 'close the listeners that nobody uses any more',
  });
}
