import { Socket } from 'node:net';
import { ConnectionClosedError, RequestRefusedError, RequestTimeoutError } from '@microvm/driver-kit';
import { connectUnix, sendDescriptors } from '@microvm/native';
import { type Limits, onAbort } from '@microvm/runtime';
import { QmpDecoder, type QmpEvent, type QmpMessage } from './wire.js';

export interface QmpConnectOptions {
  /** The monitor's socket; any length. */
  readonly path: string;
  /** Settles when the QEMU process is gone: every call then fails at once. */
  readonly exited: Promise<unknown>;
  readonly onEvent: (event: QmpEvent) => void;
  /**
   * How long the greeting and each command may take unless it says otherwise, in milliseconds. Default
   * 10,000.
   */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** An abort rejects with the signal's reason; the command may still be carried out. */
export interface QmpCallOptions extends Limits {
  /** Sent along as SCM_RIGHTS, for `getfd`. They stay open here. */
  readonly fds?: readonly number[];
}

interface Waiting {
  readonly command: string;
  readonly timeoutMs: number;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

const DEFAULT_TIMEOUT_MS = 10_000;
// Ids of commands count from 1, so that the greeting can wait in the same table.
const GREETING = 0;

/**
 * One connection to a QEMU monitor. Answers are matched by id, so commands may overlap. Every call ends: by
 * its answer, its deadline, its signal, the end of the connection or of the process. QEMU serves one client
 * at a time: a second one gets no greeting.
 */
export class QmpClient {
  readonly #socket: Socket;
  readonly #fd: number;
  readonly #decoder = new QmpDecoder();
  readonly #waiting = new Map<number, Waiting>();
  readonly #timeoutMs: number;
  readonly #onEvent: (event: QmpEvent) => void;
  #nextId = 1;
  #sent: Promise<void> = Promise.resolve();
  #closed: ConnectionClosedError | undefined;
  #version = '';

  private constructor(fd: number, options: QmpConnectOptions) {
    this.#fd = fd;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#onEvent = options.onEvent;
    this.#socket = new Socket({ fd, readable: true, writable: true });
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on('error', (error) => this.#end(new ConnectionClosedError(error.message, error)));
    this.#socket.on('close', () => this.#end(new ConnectionClosedError('QEMU hung up')));
    const onExit = () => this.#end(new ConnectionClosedError('QEMU ended'));
    void options.exited.then(onExit, onExit);
  }

  /** Connects, waits for the greeting and leaves negotiation mode. */
  static async connect(options: QmpConnectOptions): Promise<QmpClient> {
    options.signal?.throwIfAborted();
    const client = new QmpClient(await connectUnix(options.path), options);
    const call = options.signal === undefined ? {} : { signal: options.signal };
    try {
      client.#version = String(await client.#wait(GREETING, 'greeting', call));
      await client.execute('qmp_capabilities', {}, call);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** QEMU's version, such as `7.2.22`. */
  get version(): string {
    return this.#version;
  }

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /**
   * Runs a command. Rejects with `RequestRefusedError` (refused), `RequestTimeoutError`,
   * `ConnectionClosedError`, or the signal's reason.
   */
  execute(
    command: string,
    args: Readonly<Record<string, unknown>> = {},
    options: QmpCallOptions = {},
  ): Promise<unknown> {
    if (options.signal?.aborted === true) return Promise.reject(options.signal.reason as Error);
    const id = this.#nextId;
    this.#nextId += 1;
    const answer = this.#wait(id, command, options);
    const line = Buffer.from(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    this.#sent = this.#sent.then(() => this.#send(line, options.fds ?? []));
    this.#sent.catch((error: unknown) => this.#waiting.get(id)?.reject(error));
    this.#sent = this.#sent.catch(() => undefined);
    return answer;
  }

  /** Hangs up; calls in flight reject with `ConnectionClosedError`. QEMU runs on. Idempotent. */
  close(): void {
    this.#end(new ConnectionClosedError('closed by us'));
  }

  #wait(id: number, command: string, options: QmpCallOptions): Promise<unknown> {
    const { signal, timeoutMs = this.#timeoutMs } = options;
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        stopWatching();
        this.#waiting.delete(id);
      };
      const fail = (error: unknown) => {
        settle();
        reject(error);
      };
      let stopWatching = (): void => undefined;
      const timer = setTimeout(() => fail(new RequestTimeoutError(command, timeoutMs)), timeoutMs);
      const done = (value: unknown) => {
        settle();
        resolve(value);
      };
      this.#waiting.set(id, { command, timeoutMs, resolve: done, reject: fail });
      stopWatching = onAbort(signal, () => fail(signal?.reason));
    });
  }

  /**
   * Each line is flushed to the kernel before the next: descriptors go past Node's own queue, which so must
   * be empty.
   */
  #send(line: Buffer, fds: readonly number[]): Promise<void> {
    if (this.#closed !== undefined) return Promise.resolve();
    if (fds.length > 0) {
      sendDescriptors(this.#fd, line, fds);
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#socket.write(line, () => resolve()));
  }

  #receive(chunk: Buffer): void {
    if (this.#closed !== undefined) return;
    let messages: QmpMessage[];
    try {
      messages = this.#decoder.push(chunk);
    } catch (error) {
      this.#end(new ConnectionClosedError('QEMU broke the protocol', error));
      return;
    }
    for (const message of messages) this.#take(message);
  }

  #take(message: QmpMessage): void {
    switch (message.kind) {
      case 'event':
        this.#onEvent(message.event);
        return;
      case 'greeting':
        this.#waiting.get(GREETING)?.resolve(message.version);
        return;
      case 'return':
        this.#waitingFor(message.id)?.resolve(message.value);
        return;
      case 'error': {
        const waiting = this.#waitingFor(message.id);
        const { errorClass, description } = message;
        waiting?.reject(new RequestRefusedError(waiting.command, errorClass, description));
        return;
      }
    }
  }

  // An answer that nobody waits for is that of a command whose caller gave up.
  #waitingFor(id: unknown): Waiting | undefined {
    return typeof id === 'number' ? this.#waiting.get(id) : undefined;
  }

  #end(reason: ConnectionClosedError): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    this.#socket.destroy();
    for (const waiting of [...this.#waiting.values()]) waiting.reject(reason);
  }
}
