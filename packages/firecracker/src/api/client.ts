import type { Socket } from 'node:net';
import {
  ConnectionClosedError,
  RequestRefusedError,
  RequestTimeoutError,
  type Limits,
} from '@microvm/driver-kit';
import type { ProcessExit } from '@microvm/native';
import { Client, errors } from 'undici';
import { readAnswer } from './answer.js';
import { INSTANCE_STATES, type ActionType, type ApiRequest, type InstanceInfo } from './wire.js';

export interface ApiClientOptions {
  /** Opens a connection to the API socket. */
  readonly connect: () => Promise<Socket>;
  /** Ends every call that waits. */
  readonly exited: Promise<ProcessExit>;
}

export interface SendOptions extends Limits {
  /**
   * False: it goes out before the answers to those before it have come, and so does the next one. It must do no harm twice, as it is
   * made again where one before it breaks the connection. Default: true.
   */
  readonly waits?: boolean;
}

const DEFAULT_TIMEOUT_MS = 10_000;
// Configuration is order-free before boot, so requests need not wait for each other's answers.
const REQUESTS_IN_FLIGHT = 16;
const KEEP_ALIVE_MS = 2 ** 31 - 1;
/** Firecracker's longest answer, its whole configuration, has some 4 KiB. A VMM that says more is not one, and is hung up on. */
export const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * Speaks to one Firecracker process over one kept connection. Rejects with `RequestRefusedError`, `RequestTimeoutError`,
 * `ConnectionClosedError` or the signal's reason. An abort does not stop what Firecracker has begun.
 */
export class ApiClient {
  readonly #client: Client;

  constructor({ connect, exited }: ApiClientOptions) {
    this.#client = new Client('http://firecracker', {
      pipelining: REQUESTS_IN_FLIGHT,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxResponseSize: MAX_ANSWER_BYTES,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      connect: (_options, callback) => {
        connect().then(
          (socket) => {
            // What waits for the connection goes out in one write, for which Firecracker wakes up once.
            socket.cork();
            callback(null, socket);
            process.nextTick(() => socket.uncork());
          },
          (error: unknown) => callback(error as Error, null),
        );
      },
    });
    // One reaction for all calls: a VMM lives long and is asked often.
    void exited.then(() => this.close());
  }

  /** What success answers with; undefined for 204. */
  async send(request: ApiRequest, options: SendOptions = {}): Promise<unknown> {
    const name = `${request.method} ${request.path}`;
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(new RequestTimeoutError(name, timeoutMs)), timeoutMs);
    const onAbort = (): void => limit.abort(options.signal?.reason);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    try {
      options.signal?.throwIfAborted();
      return await this.#exchange(request, name, limit.signal, options.waits ?? true);
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
    }
  }

  async describe(options?: Limits): Promise<InstanceInfo> {
    const info = (await this.send({ method: 'GET', path: '/' }, options)) as
      Partial<InstanceInfo> | undefined;
    const state = INSTANCE_STATES.find((known) => known === info?.state);
    if (state === undefined) throw new ConnectionClosedError('GET /: the answer names no state');
    return { state };
  }

  async act(action: ActionType, options?: Limits): Promise<void> {
    await this.send({ method: 'PUT', path: '/actions', body: { action_type: action } }, options);
  }

  /** Idempotent: Firecracker pauses a paused VM without complaint. */
  async setState(state: 'Paused' | 'Resumed', options?: Limits): Promise<void> {
    await this.send({ method: 'PATCH', path: '/vm', body: { state } }, options);
  }

  close(): void {
    this.#client.destroy().catch(() => undefined);
  }

  async #exchange(request: ApiRequest, name: string, signal: AbortSignal, waits: boolean): Promise<unknown> {
    const { method, path, body } = request;
    try {
      const response = await this.#client.request({
        method,
        path,
        signal,
        idempotent: !waits,
        blocking: waits,
        ...(body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      });
      return await readAnswer(name, response);
    } catch (error) {
      if (error instanceof RequestRefusedError || error instanceof ConnectionClosedError) throw error;
      if (signal.aborted) throw signal.reason;
      const why =
        error instanceof errors.ResponseExceededMaxSizeError
          ? `the answer is longer than ${MAX_ANSWER_BYTES} bytes`
          : 'the connection ended without an answer';
      throw new ConnectionClosedError(`${name}: ${why}`, error);
    }
  }
}
