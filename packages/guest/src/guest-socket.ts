import { Duplex } from 'node:stream';
import { isVmRuntimeError, VmRuntimeError } from '@microvm/runtime';
import type { ConnectOptions, ConnectTarget, NamedVm } from '@microvm/runtime';
import { describeTarget, parseTarget } from './connect-target.js';
import { watchDeadline } from './deadline.js';
import { decodeClosed, encodeConnect } from './socket-messages.js';
import type { FailedMessage } from './messages.js';
import { OutputQueue } from './output-queue.js';
import type { OutputChannel } from './protocol.js';
import { ProtocolError } from './protocol.js';
import { AgentStream } from './stream.js';
import type { StreamUser } from './stream.js';
import type { StreamQueue } from './stream-queue.js';
import { tooOld } from './too-old.js';
import { unreachable } from './unreachable.js';

const DEFAULT_TIMEOUT_MS = 10_000;

/** What a connection is asked for by. */
export interface SocketRequest {
  /** For messages, such as `connect to 127.0.0.1:80`. */
  readonly operation: string;
  /** The other end, for messages. */
  readonly target: string;
  /** The message of its OPEN. */
  readonly body: Buffer;
}

/** Resolves when the connection is there. See `Guest.connect`. */
export async function connectTo(
  queue: StreamQueue,
  target: ConnectTarget,
  options: ConnectOptions = {},
): Promise<Duplex> {
  const parsed = parseTarget(target);
  const name = describeTarget(parsed);
  return openSocket(
    queue,
    { operation: `connect to ${name}`, target: name, body: encodeConnect(parsed) },
    options,
  );
}

/** Resolves when the guest has opened it. */
export function openSocket(
  queue: StreamQueue,
  request: SocketRequest,
  options: ConnectOptions = {},
): Promise<Duplex> {
  const { signal, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  return new Promise((resolve, reject) => {
    let stopWatching = (): void => undefined;
    const socket = new GuestSocket(queue, request, (error) => {
      stopWatching();
      if (error === undefined) resolve(socket);
      else reject(error);
    });
    if (signal?.aborted === true) {
      socket.giveUp(signal.reason);
      return;
    }
    stopWatching = watchDeadline(
      'connect',
      { ...(signal === undefined ? {} : { signal }), timeoutMs },
      (reason) => {
        socket.giveUp(reason);
      },
    );
    socket.start();
  });
}

/** The host's end of a connection to a socket of the guest. */
class GuestSocket extends Duplex implements StreamUser {
  readonly #queue: StreamQueue;
  readonly #request: SocketRequest;
  readonly #stream: AgentStream;
  readonly #received: OutputQueue;
  #onConnected: ((error?: unknown) => void) | undefined;
  #isWanted = false;
  #hasEnded = false;
  /** Calls back for a write that failed. */
  #unwritten: (() => void) | undefined;

  constructor(queue: StreamQueue, request: SocketRequest, onConnected: (error?: unknown) => void) {
    super({ allowHalfOpen: true });
    this.#queue = queue;
    this.#request = request;
    this.#onConnected = onConnected;
    this.#stream = new AgentStream(queue, this);
    this.#received = new OutputQueue((_, cost) => void this.#stream.taken(1, cost));
  }

  start(): void {
    this.#stream.start();
  }

  /** Nobody waits for the connection any more. */
  giveUp(reason: unknown): void {
    const isTimeout = isVmRuntimeError(reason, 'MICROVM_TIMEOUT');
    const isLate = isTimeout && this.#stream.opened === undefined;
    this.#settle(isLate ? notOpened(this.#queue.vm, this.#request, this.#queue.reason) : reason);
    this.destroy();
  }

  override _read(): void {
    this.#isWanted = true;
    this.#handOver();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, onWritten: (error?: Error | null) => void): void {
    this.#stream.input.write(chunk, encoding, (error) => {
      if (error === undefined || error === null) onWritten();
      // Nobody reads it any more. Why, the end of the stream says, which follows.
      else this.#unwritten = () => onWritten(error);
    });
  }

  override _final(onEnded: (error?: Error | null) => void): void {
    const { input } = this.#stream;
    // The guest may end the stream within this call, which destroys the input: then `end` calls nobody back.
    if (input.closed) onEnded();
    else input.once('close', () => onEnded());
    input.end();
  }

  override _destroy(error: Error | null, onDestroyed: (error?: Error | null) => void): void {
    if (!this.#stream.withdraw()) this.#stream.cancel();
    this.#stream.close();
    onDestroyed(error);
    this.#failWrite();
  }

  encode(version: number): Buffer {
    if (version < 2) throw tooOld('connect');
    return this.#request.body;
  }

  onOpened(payload: Buffer): void {
    if (payload.length > 0) throw new ProtocolError('payload too long');
    this.#settle();
  }

  onData(channel: OutputChannel, data: Buffer): void {
    this.#checkOpened();
    if (channel !== 1) throw new ProtocolError('data of a channel that a connection has not');
    if (this.#hasEnded) throw new ProtocolError('data behind the end of a channel');
    if (this.destroyed) return;
    this.#received.push('stdout', data);
    this.#handOver();
  }

  onGuestEnd(): void {
    this.#checkOpened();
    if (this.#hasEnded) throw new ProtocolError('a channel ends twice');
    this.#hasEnded = true;
    this.#handOver();
  }

  onEnded(payload: Buffer): void {
    this.#checkOpened();
    const isReset = decodeClosed(payload);
    if (!isReset && !this.#hasEnded) throw new ProtocolError('a connection that was not closed is over');
    this.#stream.close();
    if (isReset) this.#fail(wasReset());
    else this.#failWrite();
  }

  onFailed({ errno }: FailedMessage): void {
    this.#fail(refused(this.#queue.vm, this.#request, errno));
  }

  onLost(error: unknown): void {
    this.#fail(error as Error);
  }

  /** One that was given up is not opened any more: what comes for it is thrown away. */
  #checkOpened(): void {
    if (this.#onConnected !== undefined)
      throw new ProtocolError('a frame of a connection before it was opened');
  }

  /** What waits goes to its reader, as much of it as the reader takes. */
  #handOver(): void {
    while (this.#isWanted) {
      const chunk = this.#received.take();
      if (chunk === undefined) break;
      this.#isWanted = this.push(chunk.data);
    }
    if (this.#isWanted && this.#hasEnded && !this.readableEnded) this.push(null);
  }

  #fail(error: Error): void {
    const wasConnected = this.#onConnected === undefined;
    this.#settle(error);
    // Whoever has just got the connection listens to its errors a few promises later: an error that nobody
    // listens to would end the host's process.
    setImmediate(() => this.destroy(wasConnected ? error : undefined));
    this.#stream.close();
  }

  #failWrite(): void {
    const onFailed = this.#unwritten;
    this.#unwritten = undefined;
    onFailed?.();
  }

  #settle(error?: unknown): void {
    const onConnected = this.#onConnected;
    this.#onConnected = undefined;
    onConnected?.(error);
  }
}

function wasReset(): Error {
  const error = new Error('read ECONNRESET: the other end in the guest has reset the connection');
  return Object.assign(error, { code: 'ECONNRESET', syscall: 'read' });
}

function refused(vm: NamedVm, { operation, target }: SocketRequest, errno: string): VmRuntimeError {
  if (errno === 'ESHUTDOWN')
    return unreachable(vm, 'the guest is shutting down', { remedy: 'start the VM again' });
  return new VmRuntimeError('MICROVM_CONNECT_FAILED', `${operation} in "${vm.vmId}": ${errno}`, {
    details: { vmId: vm.vmId, target, errno },
  });
}

function notOpened({ vmId }: NamedVm, { operation }: SocketRequest, reason: string): VmRuntimeError {
  const message = `${operation} in "${vmId}": not begun: ${reason}`;
  return new VmRuntimeError('MICROVM_GUEST_BUSY', message, { details: { vmId, reason } });
}
