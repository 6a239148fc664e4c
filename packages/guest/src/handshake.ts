import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { type NamedVm, VmRuntimeError } from '@microvm/runtime';
import { encodeFrame, FrameDecoder, makeFrame } from './codec.js';
import { watchDeadline } from './deadline.js';
import { decodeHelloAck, encodeHello } from './messages.js';
import type { HelloAck } from './messages.js';
import {
  FrameType,
  MAX_SKIPPED_BYTES,
  OLDEST_VERSION,
  OUTPUT_WINDOW,
  PROTOCOL_VERSION,
  ProtocolError,
  SESSION_ID_SIZE,
} from './protocol.js';
import { encodeMark, Scanner } from './sync.js';
import { unreachable } from './unreachable.js';

const FIRST_RETRY_MS = 1_000;

/** The agent's answer and the decoder that goes on behind it, which may hold more frames already. */
export interface Greeting {
  readonly ack: HelloAck;
  readonly decoder: FrameDecoder;
}

export interface HandshakeOptions {
  readonly vm: NamedVm;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Begins a session. Rejects with `MICROVM_GUEST_UNREACHABLE` when the stream ends, breaks the protocol or
 * stays silent for `timeoutMs`, with the signal's reason on an abort; the stream is destroyed then. When it
 * resolves the stream is paused.
 */
export function shakeHands(stream: Duplex, options: HandshakeOptions): Promise<Greeting> {
  const { vm, timeoutMs, signal } = options;
  return new Promise((resolve, reject) => {
    const hello = new HelloSayer(stream);
    const leave = (): void => {
      hello.stop();
      stopWatching();
      stream.off('data', onData).off('error', onError).off('end', onEnd).off('close', onEnd);
    };
    const fail = (error: unknown): void => {
      leave();
      // A late error of the stream has nobody else to hear it.
      stream.on('error', () => undefined);
      stream.destroy();
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      try {
        const greeting = hello.push(chunk);
        if (greeting === undefined) return;
        stream.pause();
        leave();
        resolve(greeting);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        fail(unreachable(vm, error.message, { cause: error }));
      }
    };
    const onError = (error: Error): void => {
      fail(unreachable(vm, `the channel failed: ${error.message}`, { cause: error }));
    };
    const onEnd = (): void => {
      fail(unreachable(vm, 'the channel ended before the agent answered'));
    };
    const stopWatching = watchDeadline('connect to the agent', options, (reason) => {
      const isTimeout = reason instanceof VmRuntimeError && signal?.aborted !== true;
      fail(isTimeout ? unreachable(vm, `no answer in ${timeoutMs} ms`, { cause: reason }) : reason);
    });
    stream.on('data', onData).on('error', onError).on('end', onEnd).on('close', onEnd);
    if (signal?.aborted === true) fail(signal.reason);
    else if (stream.destroyed || stream.readableEnded) onEnd();
    else hello.start();
  });
}

/**
 * Says HELLO, again with a new session id when it stays unanswered, and skips everything up to the answer to
 * the newest.
 */
class HelloSayer {
  readonly #stream: Duplex;
  #session: Buffer = Buffer.alloc(0);
  #scanner: Scanner | undefined;
  #decoder: FrameDecoder | undefined;
  #retry: NodeJS.Timeout | undefined;
  #skippedBytes = 0;

  constructor(stream: Duplex) {
    this.#stream = stream;
  }

  start(retryMs: number = FIRST_RETRY_MS): void {
    this.#session = randomBytes(SESSION_ID_SIZE);
    const mark = encodeMark(this.#session);
    this.#scanner = new Scanner(mark);
    const hello = encodeHello({
      session: this.#session,
      lowestVersion: OLDEST_VERSION,
      highestVersion: PROTOCOL_VERSION,
      outputWindow: OUTPUT_WINDOW,
    });
    this.#stream.write(Buffer.concat([mark, encodeFrame(makeFrame(FrameType.hello, 0, 0, hello))]));
    this.#retry = setTimeout(() => {
      this.start(retryMs * 2);
    }, retryMs);
  }

  stop(): void {
    clearTimeout(this.#retry);
  }

  /** Takes what was received; answers the greeting once it is complete. Throws a `ProtocolError`. */
  push(chunk: Buffer): Greeting | undefined {
    let bytes: Buffer | undefined = chunk;
    if (this.#decoder === undefined) {
      bytes = this.#scanner?.push(chunk);
      this.#skippedBytes += chunk.length;
      if (this.#skippedBytes > MAX_SKIPPED_BYTES) throw new ProtocolError('no mark in what it sends');
      if (bytes === undefined) return undefined;
      // The agent was reached: a newer id would only throw its answer away.
      this.stop();
      this.#decoder = new FrameDecoder();
    }
    this.#decoder.push(bytes);
    const first = this.#decoder.next();
    if (first === undefined) return undefined;
    if (first.type !== FrameType.helloAck) throw new ProtocolError('no HELLO_ACK after the mark');
    const ack = decodeHelloAck(first.payload);
    if (!ack.session.equals(this.#session)) throw new ProtocolError('HELLO_ACK for another session');
    if (ack.version < OLDEST_VERSION || ack.version > PROTOCOL_VERSION) {
      const spoken = `${ack.lowestVersion} to ${ack.highestVersion}`;
      throw new ProtocolError(
        `the agent speaks protocol ${spoken}, this client ${OLDEST_VERSION} to ${PROTOCOL_VERSION}`,
      );
    }
    return { ack, decoder: this.#decoder };
  }
}
