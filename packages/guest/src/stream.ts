import { Writable } from 'node:stream';
import type { Frame } from './codec.js';
import { cutPayload } from './codec.js';
import type { AgentConnection } from './connection.js';
import { ReceiveWindow, SendWindow } from './flow-control.js';
import { decodeCredit, decodeFailed, encodeCredit } from './messages.js';
import type { FailedMessage } from './messages.js';
import { FrameType, MAX_PAYLOAD, OUTPUT_WINDOW, ProtocolError } from './protocol.js';
import type { OutputChannel } from './protocol.js';
import type { PendingStream, StreamQueue } from './stream-queue.js';

/** What one kind of stream does with its bytes. */
export interface StreamUser {
  /** See `PendingStream`. */
  encode(version: number): Buffer;
  /** The stream waits no more: its OPEN is on its way. */
  onOpening?(): void;
  onOpened(payload: Buffer): void;
  /** `data` is a view: whoever keeps it copies it, and tells `AgentStream.taken` when its reader has it. */
  onData(channel: OutputChannel, data: Buffer): void;
  /** The guest sends no more on channel 1. Without it such a frame breaks the protocol. */
  onGuestEnd?(): void;
  /** The last frame: the guest has ended the stream. May throw a `ProtocolError`. */
  onEnded(payload: Buffer): void;
  /** The last frame: the guest could not do it. */
  onFailed(failure: FailedMessage): void;
  /** The session is over, or has never opened the stream. */
  onLost(error: unknown): void;
}

interface Opened {
  readonly connection: AgentConnection;
  readonly number: number;
}

/**
 * One byte stream with the guest, whatever it is for: it waits in a queue for its OPEN; then its input is
 * sent as the guest gives credit, and what the guest sends is counted against the windows of the channels.
 * Frames that come once are checked to come once.
 */
export class AgentStream implements PendingStream {
  readonly input = new StreamInput();
  readonly #queue: StreamQueue;
  readonly #user: StreamUser;
  readonly #expected = new Set<FrameType>([FrameType.opened, FrameType.gone]);
  #windows: Readonly<Record<OutputChannel, ReceiveWindow>> | undefined;
  #opened: Opened | undefined;
  #isOver = false;
  readonly #frameHandlers: Partial<Record<FrameType, (frame: Frame) => void>> = {
    [FrameType.opened]: (frame) => {
      this.#once(frame);
      this.#user.onOpened(frame.payload);
    },
    [FrameType.data1]: ({ payload }) => this.#onData(1, payload),
    [FrameType.data2]: ({ payload }) => this.#onData(2, payload),
    [FrameType.creditToHost]: ({ payload }) => this.input.grant(decodeCredit(payload).bytes),
    [FrameType.gone]: (frame) => {
      this.#once(frame);
      this.input.gone();
    },
    [FrameType.endToHost]: ({ type }) => {
      if (this.#user.onGuestEnd === undefined) throw new ProtocolError(`frame type ${type} of a stream`);
      this.#user.onGuestEnd();
    },
    [FrameType.failed]: ({ payload }) => this.#onFailed(decodeFailed(payload)),
    [FrameType.ended]: ({ payload }) => this.#user.onEnded(payload),
  };

  constructor(queue: StreamQueue, user: StreamUser) {
    this.#queue = queue;
    this.#user = user;
  }

  /** Waits for its turn to be opened. */
  start(): void {
    this.#queue.add(this);
  }

  /** Takes it back; false when it does not wait any more. */
  withdraw(): boolean {
    return this.#queue.remove(this);
  }

  /** Where it is open; undefined while it waits. */
  get opened(): Opened | undefined {
    return this.#opened;
  }

  encode(version: number): Buffer {
    return this.#user.encode(version);
  }

  onOpening(connection: AgentConnection, number: number): void {
    const window = () => new ReceiveWindow(OUTPUT_WINDOW, connection.growth);
    this.#windows = { 1: window(), 2: window() };
    this.#opened = { connection, number };
    this.input.open({
      window: connection.ack.inputWindow,
      hasRoom: () => connection.hasRoom,
      send: (data, onWritten) => connection.send(FrameType.data, number, data, onWritten),
      close: () => connection.send(FrameType.end, number),
    });
    this.#user.onOpening?.();
  }

  onFrame(frame: Frame): boolean {
    const handle = this.#frameHandlers[frame.type];
    if (handle === undefined) throw new ProtocolError(`frame type ${frame.type} of a stream`);
    handle(frame);
    return frame.type === FrameType.ended || frame.type === FrameType.failed;
  }

  onRoom(): void {
    this.input.resume();
  }

  onLost(error: unknown): void {
    this.#user.onLost(error);
  }

  /** A reader has what frames of this cost brought: the guest may send that much again. */
  taken(channel: OutputChannel, cost: number): void {
    if (this.#isOver) return;
    const credit = this.#windows?.[channel].consume(cost) ?? 0;
    if (credit > 0) this.send(FrameType.credit, encodeCredit(channel, credit));
  }

  /** Gives it up: the guest ends it and confirms that by its last frame. */
  cancel(): void {
    this.send(FrameType.cancel);
  }

  send(type: FrameType, payload?: Buffer): void {
    if (!this.#isOver) this.#opened?.connection.send(type, this.#opened.number, payload);
  }

  /** Nobody uses it any more. Frames that still come for it are counted and thrown away. Idempotent. */
  close(): void {
    this.input.gone();
    if (this.#isOver) return;
    this.#isOver = true;
    this.#windows?.[1].close();
    this.#windows?.[2].close();
  }

  #onFailed(failure: FailedMessage): void {
    const thrown = this.#opened?.connection.thrownBy(failure);
    if (thrown === undefined) this.#user.onFailed(failure);
    else this.#user.onLost(thrown.error);
  }

  #once(frame: Frame): void {
    if (!this.#expected.delete(frame.type)) throw new ProtocolError(`frame type ${frame.type} comes twice`);
  }

  #onData(channel: OutputChannel, data: Buffer): void {
    this.#windows?.[channel].receive(data.length);
    this.#user.onData(channel, data);
  }
}

/** The stream that the input goes to, once it was opened. */
export interface InputSink {
  /** What may be sent before the guest gives credit. */
  readonly window: number;
  /** False: the agent does not read what was sent. `resume` of the input is called when it does. */
  hasRoom(): boolean;
  send(data: Buffer, onWritten?: () => void): void;
  close(): void;
}

/** What goes into a stream: waits for the stream's opening, then sends as the guest gives credit. */
export class StreamInput extends Writable {
  #sink: InputSink | undefined;
  #window = new SendWindow(0);
  #unansweredFrames = 0;
  #rest: Buffer | undefined;
  #onRest: ((error?: Error) => void) | undefined;
  #onClosed: (() => void) | undefined;
  #isGone = false;

  constructor() {
    super({ highWaterMark: MAX_PAYLOAD });
    // A guest may leave the input unread and end: that is no error for a caller who does not look.
    this.on('error', () => undefined);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, onWritten: (error?: Error) => void): void {
    if (this.#isGone) {
      onWritten(brokenPipe());
      return;
    }
    this.#rest = chunk;
    this.#onRest = onWritten;
    this.resume();
  }

  override _final(onClosed: () => void): void {
    if (this.#sink === undefined && !this.#isGone) {
      this.#onClosed = onClosed;
      return;
    }
    if (!this.#isGone) this.#sink?.close();
    onClosed();
  }

  /** The stream was opened. */
  open(sink: InputSink): void {
    if (this.#isGone) return;
    this.#sink = sink;
    this.#window = new SendWindow(sink.window);
    this.resume();
    const onClosed = this.#onClosed;
    this.#onClosed = undefined;
    if (onClosed === undefined) return;
    sink.close();
    onClosed();
  }

  /**
   * Throws a `ProtocolError` at more credits than frames: a flood of credits must have been paid for by what
   * was sent.
   */
  grant(credit: number): void {
    if (--this.#unansweredFrames < 0) throw new ProtocolError('credit for nothing');
    this.#window.grant(credit);
    this.resume();
  }

  /** Nobody reads it any more. */
  gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    const onRest = this.#onRest;
    const onClosed = this.#onClosed;
    this.#rest = undefined;
    this.#onRest = undefined;
    this.#onClosed = undefined;
    onClosed?.();
    if (onRest === undefined) this.destroy();
    else onRest(brokenPipe());
  }

  /** Sends what can be sent now. */
  resume(): void {
    while (this.#rest !== undefined && this.#window.room > 0 && this.#sink?.hasRoom() === true) {
      const [piece] = cutPayload(this.#rest, Math.min(MAX_PAYLOAD, this.#window.room));
      const sent = piece?.length ?? 0;
      const rest = this.#rest.subarray(sent);
      this.#rest = rest.length > 0 ? rest : undefined;
      const onRest = rest.length > 0 ? undefined : this.#onRest;
      if (onRest !== undefined) this.#onRest = undefined;
      if (piece === undefined) {
        onRest?.();
        return;
      }
      this.#window.spend(sent);
      this.#unansweredFrames += 1;
      this.#sink.send(piece, onRest);
    }
  }
}

function brokenPipe(): Error {
  return Object.assign(new Error('write EPIPE: nobody in the guest reads it any more'), { code: 'EPIPE' });
}
