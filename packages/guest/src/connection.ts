import type { Duplex } from 'node:stream';
import type { VmRuntimeError } from '@microvm/runtime';
import { AgentFailure } from './agent-failure.js';
import { cutPayload, encodeHeader, makeFrame, seamHoldsPreamble } from './codec.js';
import type { Frame, FrameDecoder } from './codec.js';
import { watchDeadline } from './deadline.js';
import type { CallOptions } from './deadline.js';
import type { Greeting } from './handshake.js';
import { decodeFailed, decodeFarewell } from './messages.js';
import type { Farewell, HelloAck } from './messages.js';
import { PayloadReader } from './payload.js';
import { FLAG_MORE, FrameType, HEADER_SIZE, ProtocolError } from './protocol.js';
import { unreachable } from './unreachable.js';

/** Who gets the frames of one stream. */
export interface StreamHandler {
  /** False: the stream goes on. A `ProtocolError` thrown here ends the connection. */
  onFrame(frame: Frame): boolean;
  /** The connection ended before the stream did. */
  onLost(error: VmRuntimeError): void;
}

export interface ConnectionHooks {
  onFarewell(farewell: Farewell): void;
  onClosed(): void;
}

export interface RequestOptions<T> extends CallOptions {
  readonly operation: string;
  /** The frame type that is an answer, besides FAILED. */
  readonly answer: FrameType;
  decode(payload: Buffer): T;
  /** With an OK that answers a THAW, the epoch that it begins. */
  readonly nextEpoch?: number;
  /** The answer came after the caller had given up. */
  readonly onLate?: () => void;
}

/** For requests that are only confirmed. */
export const CONFIRMED = {
  answer: FrameType.ok,
  decode(payload: Buffer): void {
    new PayloadReader(payload).end();
  },
} as const;

/** One session with an agent over one byte stream: frames out, frames to their streams. */
export class AgentConnection {
  readonly ack: HelloAck;
  readonly vmId: string;
  readonly #stream: Duplex;
  readonly #decoder: FrameDecoder;
  readonly #hooks: ConnectionHooks;
  readonly #handlers = new Map<number, StreamHandler>();
  #epoch: number;
  #nextEpoch: number | undefined;
  #lastStream = 0;
  #lost: VmRuntimeError | undefined;

  constructor(stream: Duplex, greeting: Greeting, vmId: string, hooks: ConnectionHooks) {
    this.#stream = stream;
    this.ack = greeting.ack;
    this.#decoder = greeting.decoder;
    this.#epoch = greeting.ack.info.epoch;
    this.vmId = vmId;
    this.#hooks = hooks;
    this.#listen();
    this.#receive(greeting.frames);
    stream.resume();
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Why nothing more can be asked, once that is so. */
  get lost(): VmRuntimeError | undefined {
    return this.#lost;
  }

  /** Opens a stream with its first message and answers its number; undefined when the connection is lost. */
  openStream(type: FrameType, body: Buffer, handler: StreamHandler): number | undefined {
    if (this.#lost !== undefined) return undefined;
    const stream = ++this.#lastStream;
    this.#handlers.set(stream, handler);
    this.#sendMessage(type, stream, body);
    return stream;
  }

  /**
   * Sends a frame of an open stream. Its payload is one field list, or data that was cut by `cutPayload`; it must not change until
   * `onWritten`, which is not called once the connection is lost.
   */
  send(type: FrameType, stream: number, payload?: Buffer, onWritten?: () => void): void {
    if (this.#lost !== undefined) return;
    this.#write(makeFrame(type, stream, this.#epoch, payload), onWritten);
  }

  /** One request, one answer. FAILED rejects with `AgentFailure`. */
  request<T>(type: FrameType, body: Buffer, options: RequestOptions<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (options.signal?.aborted === true) {
        reject(options.signal.reason);
        return;
      }
      let isGivenUp = false;
      const stopWatching = watchDeadline(options.operation, options, (reason) => {
        isGivenUp = true;
        reject(reason);
      });
      if (options.nextEpoch !== undefined) this.#nextEpoch = options.nextEpoch;
      const opened = this.openStream(type, body, {
        onFrame: (frame) => {
          stopWatching();
          if (frame.type === FrameType.failed) {
            const { errno, step } = decodeFailed(frame.payload);
            reject(new AgentFailure(options.operation, step, errno));
            return true;
          }
          if (frame.type !== options.answer)
            throw new ProtocolError(`frame type ${frame.type} for an answer`);
          resolve(options.decode(frame.payload));
          if (isGivenUp) options.onLate?.();
          return true;
        },
        onLost: (error) => {
          stopWatching();
          reject(error);
        },
      });
      if (opened === undefined) {
        stopWatching();
        reject(this.#lost);
      }
    });
  }

  /** Ends the session on this side; what is open rejects. Idempotent. */
  close(reason: string): void {
    this.#lose(unreachable(this.vmId, reason));
  }

  #listen(): void {
    this.#stream.on('data', (chunk: Buffer) => {
      try {
        this.#receive(this.#decoder.push(chunk));
      } catch (error) {
        this.#violation(error);
      }
    });
    this.#stream.on('error', (error: Error) => {
      this.#lose(unreachable(this.vmId, `the channel failed: ${error.message}`, error));
    });
    const onEnd = (): void => {
      this.#lose(unreachable(this.vmId, 'the channel ended'));
    };
    this.#stream.on('end', onEnd).on('close', onEnd);
  }

  #receive(frames: Iterable<Frame>): void {
    try {
      for (const frame of frames) {
        if (this.#lost !== undefined) return;
        this.#onFrame(frame);
      }
    } catch (error) {
      this.#violation(error);
    }
  }

  #violation(error: unknown): void {
    if (!(error instanceof ProtocolError)) throw error;
    this.#lose(unreachable(this.vmId, `the agent broke the protocol: ${error.message}`, error));
  }

  #onFrame(frame: Frame): void {
    if (frame.epoch < this.#epoch) return;
    if (frame.epoch > this.#epoch) this.#beginEpoch(frame);
    if (frame.stream === 0) {
      this.#onSessionFrame(frame);
      return;
    }
    const handler = this.#handlers.get(frame.stream);
    if (handler === undefined) {
      // A command that was given up here can still have frames under way.
      if (frame.stream > this.#lastStream) throw new ProtocolError('frame of a stream that was never opened');
      return;
    }
    if (handler.onFrame(frame)) this.#handlers.delete(frame.stream);
  }

  #beginEpoch(frame: Frame): void {
    if (frame.epoch !== this.#nextEpoch || frame.type !== FrameType.ok) {
      throw new ProtocolError(`epoch ${frame.epoch} was not begun`);
    }
    this.#epoch = frame.epoch;
    const error = unreachable(
      this.vmId,
      'the guest began a new epoch: its earlier commands have no stream any more',
    );
    for (const [stream, handler] of [...this.#handlers]) {
      if (stream === frame.stream) continue;
      this.#handlers.delete(stream);
      handler.onLost(error);
    }
  }

  #onSessionFrame(frame: Frame): void {
    if (frame.type === FrameType.farewell) {
      this.#hooks.onFarewell(decodeFarewell(frame.payload));
    } else if (frame.type === FrameType.reset) {
      const text = new PayloadReader(frame.payload).words(256);
      throw new ProtocolError(`it reset the session: ${text}`);
    } else {
      throw new ProtocolError(`frame type ${frame.type} outside of a stream`);
    }
  }

  #sendMessage(type: FrameType, stream: number, body: Buffer): void {
    const pieces = body.length === 0 ? [body] : [...cutPayload(body)];
    pieces.forEach((piece, index) => {
      const flags = index < pieces.length - 1 ? FLAG_MORE : 0;
      this.#write({ ...makeFrame(type, stream, this.#epoch, piece), flags });
    });
  }

  #write(frame: Frame, onWritten?: () => void): void {
    const header = encodeHeader(frame);
    const { payload } = frame;
    if (seamHoldsPreamble(header, payload)) {
      // Two shorter frames have other checksums. Only data and EXEC have payloads that long, and both may be cut.
      const flags = frame.type === FrameType.exec ? FLAG_MORE : 0;
      this.#write({ ...frame, payload: payload.subarray(0, HEADER_SIZE), flags });
      this.#write({ ...frame, payload: payload.subarray(HEADER_SIZE) }, onWritten);
      return;
    }
    const onEnd = (error?: Error | null): void => {
      if (error === undefined || error === null) onWritten?.();
    };
    if (payload.length === 0) {
      this.#stream.write(header, onEnd);
      return;
    }
    this.#stream.cork();
    this.#stream.write(header);
    this.#stream.write(payload, onEnd);
    this.#stream.uncork();
  }

  #lose(error: VmRuntimeError): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    const handlers = [...this.#handlers.values()];
    this.#handlers.clear();
    for (const handler of handlers) handler.onLost(error);
    // Ended first: the other end of a pair in this process would not learn of it otherwise.
    this.#stream.end();
    setImmediate(() => this.#stream.destroy());
    this.#hooks.onClosed();
  }
}
