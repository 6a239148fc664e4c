import type { Frame } from './codec.js';
import type { AgentConnection } from './connection.js';
import { ReceiveWindow } from './flow-control.js';
import { decodeCredit, decodeFailed, encodeCredit } from './messages.js';
import type { FailedMessage } from './messages.js';
import { FrameType, OUTPUT_WINDOW, ProtocolError } from './protocol.js';
import type { OutputChannel } from './protocol.js';
import { StreamInput } from './stream-input.js';
import type { InputSink, InputState } from './stream-input.js';
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
  /**
   * The session is over, or has never opened the stream. `mayReturn`: another session is to be expected, and
   * what the stream is for can go on in it.
   */
  onLost(error: unknown, mayReturn: boolean): void;
}

/** What a stream has from the one before it, whose session was lost. */
export interface StreamBefore {
  /** It is opened by its user, when the guest has said where the input stands. */
  readonly input: StreamInput;
  readonly opensInput: boolean;
  /** The cost of what still waits for its reader, by which the windows are smaller at first. */
  readonly held: Readonly<Record<OutputChannel, number>>;
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
  readonly input: StreamInput;
  readonly #before: StreamBefore | undefined;
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

  constructor(queue: StreamQueue, user: StreamUser, before?: StreamBefore) {
    this.#queue = queue;
    this.#user = user;
    this.#before = before;
    this.input = before?.input ?? new StreamInput();
  }

  /** Waits for its turn to be opened. */
  start(): void {
    this.#queue.add(this);
  }

  /** Waits for the session that follows a lost one, before those that were never opened. */
  startAgain(): void {
    this.#queue.addFirst(this);
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

  onNumbered(connection: AgentConnection, number: number): void {
    const window = (held = 0) => new ReceiveWindow(OUTPUT_WINDOW, { growth: connection.growth, held });
    this.#windows = { 1: window(this.#before?.held[1]), 2: window(this.#before?.held[2]) };
    this.#opened = { connection, number };
  }

  onOpening(connection: AgentConnection): void {
    if (this.#before?.opensInput !== false) this.openInput(connection.ack.inputWindow);
    this.#user.onOpening?.();
  }

  /** `window` is what may be sent at first; see `StreamInput.open` for the state. */
  openInput(window: number, state?: InputState): void {
    if (this.#opened === undefined) return;
    const { connection, number } = this.#opened;
    const sink: InputSink = {
      window,
      hasRoom: () => connection.hasRoom,
      send: (data, onWritten) => connection.send(FrameType.data, number, data, onWritten),
      close: () => connection.send(FrameType.end, number),
    };
    this.input.open(sink, state);
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

  onLost(error: unknown, mayReturn: boolean): void {
    this.#user.onLost(error, mayReturn);
  }

  /**
   * A reader has what frames of this cost brought: the guest may send that much again. Answers whether it was
   * told so now.
   */
  taken(channel: OutputChannel, cost: number): boolean {
    if (this.#isOver) return false;
    const credit = this.#windows?.[channel].consume(cost) ?? 0;
    if (credit > 0) this.send(FrameType.credit, encodeCredit(channel, credit));
    return credit > 0;
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
    this.leave();
  }

  /** The same, and its input goes on in the next stream. */
  leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#windows?.[1].close();
    this.#windows?.[2].close();
  }

  #onFailed(failure: FailedMessage): void {
    const thrown = this.#opened?.connection.thrownBy(failure);
    if (thrown === undefined) this.#user.onFailed(failure);
    else this.#user.onLost(thrown.error, false);
  }

  #once(frame: Frame): void {
    if (!this.#expected.delete(frame.type)) throw new ProtocolError(`frame type ${frame.type} comes twice`);
  }

  #onData(channel: OutputChannel, data: Buffer): void {
    this.#windows?.[channel].receive(data.length);
    this.#user.onData(channel, data);
  }
}
