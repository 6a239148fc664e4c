import type { Socket } from 'node:net';
import type { ProcessExit } from '@microvm/native';
import { onAbort, type Limits } from '@microvm/runtime';
import { Client, errors } from 'undici';
import {
  ConnectionClosedError,
  RequestRefusedError,
  RequestTimeoutError,
} from '../process/request-errors.js';
import { readAnswer, type FaultReader } from './answer.js';

export interface HttpClientOptions {
  /** Opens a connection to the API socket. */
  readonly connect: () => Promise<Socket>;
  /** Ends every call that waits. */
  readonly exited: Promise<ProcessExit>;
  readonly faultIn: FaultReader;
}

export interface HttpRequest {
  readonly method: 'GET' | 'PUT' | 'PATCH' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
}

export interface SendOptions extends Limits {
  /**
   * False: it goes out before the answers to those before it have come, and so does the next one. It must do
   * no harm twice, as it is made again where one before it breaks the connection. Default: true.
   */
  readonly waits?: boolean;
}

const DEFAULT_TIMEOUT_MS = 10_000;
// Configuration is order-free before boot, so requests need not wait for each other's answers.
const REQUESTS_IN_FLIGHT = 16;
const KEEP_ALIVE_MS = 2 ** 31 - 1;
/**
 * Firecracker's longest answer, its whole configuration, has some 4 KiB. A VMM that says more is hung up on.
 */
export const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * Speaks to one VMM that serves HTTP and JSON on a unix socket, over one kept connection. Rejects with
 * `RequestRefusedError`, `RequestTimeoutError`, `ConnectionClosedError` or the signal's reason. An abort does
 * not stop what the VMM has begun.
 */
export class HttpClient {
  readonly #client: Client;
  readonly #faultIn: FaultReader;

  constructor({ connect, exited, faultIn }: HttpClientOptions) {
    this.#faultIn = faultIn;
    this.#client = new Client('http://vmm', {
      pipelining: REQUESTS_IN_FLIGHT,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxResponseSize: MAX_ANSWER_BYTES,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      connect: (_options, callback) => {
        connect().then(
          (socket) => {
            // Requests that wait for the connection go out in one write, for which the VMM wakes up once.
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

  /** The value of a successful answer; undefined for 204. */
  async send(request: HttpRequest, options: SendOptions = {}): Promise<unknown> {
    const name = `${request.method} ${request.path}`;
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(new RequestTimeoutError(name, timeoutMs)), timeoutMs);
    const stopWatching = onAbort(options.signal, () => limit.abort(options.signal?.reason));
    try {
      options.signal?.throwIfAborted();
      return await this.#exchange(request, name, limit.signal, options.waits ?? true);
    } finally {
      clearTimeout(timer);
      stopWatching();
    }
  }

  close(): void {
    this.#client.destroy().catch(() => undefined);
  }

  async #exchange(request: HttpRequest, name: string, signal: AbortSignal, waits: boolean): Promise<unknown> {
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
      return await readAnswer(name, response, this.#faultIn);
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
