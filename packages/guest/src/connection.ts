import type { Duplex } from 'node:stream';
import type { NamedVm, VmRuntimeError } from '@microvm/runtime';
import { cutPayload, makeFrame } from './codec.js';
import type { Frame } from './codec.js';
import { watchDeadline } from './deadline.js';
import { GrowthBudget } from './flow-control.js';
import { FrameReader } from './frame-reader.js';
import { FrameWriter } from './frame-writer.js';
import type { Greeting } from './handshake.js';
import { decodeFarewell } from './messages.js';
import type { FailedMessage, Farewell, HelloAck } from './messages.js';
import { PayloadReader } from './payload.js';
import { FLAG_MORE, FrameType, MAX_OPEN_STREAMS, MAX_STREAMS, ProtocolError } from './protocol.js';
import { settleRequest } from './request.js';
import type { RequestOptions } from './request.js';
import { type Loss, unreachable } from './unreachable.js';

/** Who gets the frames of one stream. */
export interface StreamHandler {
  /** Before the first message is sent: a guest in this process may answer within the sending. */
  onNumbered?(connection: AgentConnection, stream: number): void;
  /** False: the stream goes on. A `ProtocolError` thrown here ends the connection. */
  onFrame(frame: Frame): boolean;
  /**
   * The connection ended before the stream did. `mayReturn`: by no fault of the guest's, so that another
   * session can be expected.
   */
  onLost(error: unknown, mayReturn: boolean): void;
  /** The agent has read what waited: input that was held back can go on. */
  onRoom?(): void;
}

export interface ConnectionHooks {
  onFarewell(farewell: Farewell): void;
  /** A command may be started that could not be before. */
  onReady(): void;
  onLost(loss: Loss, mayReturn: boolean): void;
  /** See `ConnectOptions`. */
  thrownBy?(failure: FailedMessage): { readonly error: unknown } | undefined;
}

/**
 * One session with an agent over one byte stream: frames out, frames to their streams. Every frame of the
 * agent is paid for by something that the host sent (docs/guest-protocol.md, "What a frame costs"); a frame
 * that is not ends the session. So do more bytes than `MAX_QUEUED_BYTES` that the agent does not read.
 */
export class AgentConnection {
  readonly ack: HelloAck;
  /** The budget by which the windows of this session's outputs may grow. */
  readonly growth = new GrowthBudget();
  readonly #vm: NamedVm;
  readonly #stream: Duplex;
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  readonly #hooks: ConnectionHooks;
  readonly #handlers = new Map<number, StreamHandler>();
  readonly #streams = new Set<number>();
  #epoch: number;
  #nextEpoch: number | undefined;
  #isFrozen: boolean;
  #farewell: Farewell | undefined;
  #lastStream = 0;
  #lost: Loss | undefined;

  constructor(stream: Duplex, greeting: Greeting, vm: NamedVm, hooks: ConnectionHooks) {
    this.#stream = stream;
    this.ack = greeting.ack;
    this.#epoch = greeting.ack.info.epoch;
    this.#isFrozen = greeting.ack.info.isFrozen;
    this.#vm = vm;
    this.#hooks = hooks;
    this.#writer = new FrameWriter(stream, {
      onRoom: () => this.#onRoom(),
      onOverflow: (bytes) =>
        this.#lose(() => this.#unreachable(`the agent does not read: ${bytes} bytes wait for it`)),
    });
    this.#reader = new FrameReader(stream, greeting.decoder, {
      onFrame: (frame) => this.#onFrame(frame),
      onViolation: (cause) => {
        this.#lose(() => unreachable(vm, `the agent broke the protocol: ${cause.message}`, { cause }));
      },
      onEnd: (error) => {
        const reason = error === undefined ? 'the channel ended' : `the channel failed: ${error.message}`;
        this.#lose(() => this.#unreachable(reason, error), { mayReturn: this.#farewell === undefined });
      },
    });
  }

  /** The very error that a failure tells of, where a script in this process has thrown it. */
  thrownBy(failure: FailedMessage): { readonly error: unknown } | undefined {
    return this.#hooks.thrownBy?.(failure);
  }

  /** Begins to receive, with what came behind the greeting. */
  start(): void {
    this.#reader.start();
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Frames and bytes that the agent sent in this session so far. */
  get received(): { readonly frames: number; readonly bytes: number } {
    return this.#reader.received;
  }

  /** Bytes that wait for the agent to read them. */
  get queuedBytes(): number {
    return this.#writer.queuedBytes;
  }

  /** False: input of commands waits for its handler's `onRoom`. */
  get hasRoom(): boolean {
    return this.#writer.hasRoom;
  }

  /** Why no command can be started now; undefined when one can. */
  get busy(): string | undefined {
    if (this.#isFrozen) return 'its workload is frozen';
    const most = Math.min(this.ack.maxStreams, MAX_STREAMS);
    if (this.#streams.size >= most) return `it has ${most} streams open, as many as it can at once`;
    return this.#writer.hasRoom ? undefined : 'its agent does not read what was sent to it';
  }

  /** The workload was stopped, or goes on. While the workload is stopped no command is started. */
  setFrozen(isFrozen: boolean): void {
    this.#isFrozen = isFrozen;
    if (!isFrozen) this.#hooks.onReady();
  }

  /** Opens a stream with its first message and answers its number; undefined when the connection is lost. */
  openStream(type: FrameType, body: Buffer, handler: StreamHandler): number | undefined {
    if (this.#handlers.size >= MAX_OPEN_STREAMS) {
      this.#lose(() => this.#unreachable(`the agent leaves ${MAX_OPEN_STREAMS} requests unanswered`));
    }
    if (this.#lost !== undefined) return undefined;
    const stream = ++this.#lastStream;
    this.#handlers.set(stream, handler);
    if (type === FrameType.open) this.#streams.add(stream);
    handler.onNumbered?.(this, stream);
    this.#sendMessage(type, stream, body);
    return stream;
  }

  /**
   * Sends a frame of an open stream. Its payload is one field list, or data that was cut by `cutPayload`; it
   * must not change until `onWritten`, which is not called once the connection is lost.
   */
  send(type: FrameType, stream: number, payload?: Buffer, onWritten?: () => void): void {
    if (this.#lost !== undefined) return;
    this.#writer.write(makeFrame(type, stream, this.#epoch, payload), onWritten);
  }

  /** One request, one answer. FAILED rejects with `AgentFailure`. */
  request<T>(type: FrameType, body: Buffer, options: RequestOptions<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (options.signal?.aborted === true) {
        reject(options.signal.reason);
        return;
      }
      let isLate = false;
      const stopWatching = watchDeadline(options.operation, options, (reason) => {
        isLate = true;
        reject(reason);
      });
      if (options.nextEpoch !== undefined) this.#nextEpoch = options.nextEpoch;
      const opened = this.openStream(type, body, {
        onFrame: (frame) => {
          stopWatching();
          settleRequest(frame, options, { resolve, reject });
          options.onAnswer?.({ isOk: frame.type !== FrameType.failed, isLate });
          return true;
        },
        onLost: (error) => {
          stopWatching();
          reject(error);
        },
      });
      if (opened === undefined) {
        stopWatching();
        reject(this.#lost?.());
      }
    });
  }

  /** Ends the session on this side; what is open rejects. Idempotent. */
  close(reason: string): void {
    this.#lose(() => unreachable(this.#vm, reason), { mayReturn: true });
  }

  #onFrame(frame: Frame): void {
    // The agent's frames come in order, so no frame of an earlier life can follow the OK that began this
    // life.
    if (frame.epoch < this.#epoch) throw new ProtocolError('frame of an epoch that is over');
    if (frame.epoch > this.#epoch) this.#beginEpoch(frame);
    if (frame.stream === 0) {
      this.#onSessionFrame(frame);
      return;
    }
    const handler = this.#handlers.get(frame.stream);
    if (handler === undefined) throw new ProtocolError('frame of a stream that is over or was never opened');
    if (!handler.onFrame(frame)) return;
    this.#handlers.delete(frame.stream);
    if (this.#streams.delete(frame.stream)) this.#hooks.onReady();
  }

  #beginEpoch(frame: Frame): void {
    if (frame.epoch !== this.#nextEpoch || frame.type !== FrameType.ok) {
      throw new ProtocolError(`epoch ${frame.epoch} was not begun by a thaw`);
    }
    this.#epoch = frame.epoch;
    const error = unreachable(
      this.#vm,
      'the guest began a new epoch: its earlier commands have no stream any more',
    );
    for (const [stream, handler] of [...this.#handlers]) {
      if (stream === frame.stream) continue;
      this.#handlers.delete(stream);
      this.#streams.delete(stream);
      handler.onLost(error, false);
    }
  }

  #onSessionFrame(frame: Frame): void {
    if (frame.type === FrameType.farewell) {
      if (this.#farewell !== undefined) throw new ProtocolError('a second farewell');
      this.#farewell = decodeFarewell(frame.payload);
      this.#hooks.onFarewell(this.#farewell);
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
      this.#writer.write({ ...makeFrame(type, stream, this.#epoch, piece), flags });
    });
  }

  #onRoom(): void {
    if (this.#lost !== undefined) return;
    for (const handler of [...this.#handlers.values()]) handler.onRoom?.();
    this.#hooks.onReady();
  }

  /** A guest that said how it ends is not out of reach by a fault. */
  #unreachable(reason: string, cause?: unknown): VmRuntimeError {
    if (this.#farewell === undefined) return unreachable(this.#vm, reason, { cause });
    const { reason: why } = this.#farewell;
    return unreachable(this.#vm, `the guest has ended: ${why}`, {
      cause,
      remedy: 'start the VM again, or look at its view for how it ended',
    });
  }

  #lose(loss: Loss, { mayReturn = false } = {}): void {
    if (this.#lost !== undefined) return;
    this.#lost = loss;
    const error = loss();
    this.#reader.stop();
    const handlers = [...this.#handlers.values()];
    this.#handlers.clear();
    this.#streams.clear();
    for (const handler of handlers) handler.onLost(error, mayReturn);
    // The stream is ended before it is destroyed, or the other end of a pair in this process would not learn
    // of it.
    this.#stream.end();
    setImmediate(() => this.#stream.destroy());
    this.#hooks.onLost(loss, mayReturn);
  }
}
