import { Writable } from 'node:stream';
import { cutPayload } from './codec.js';
import { frameCost, SendWindow } from './flow-control.js';
import { HEADER_SIZE, MAX_PAYLOAD, ProtocolError, UNCONFIRMED_INPUT_BYTES } from './protocol.js';

/** The stream that the input goes to, once it was opened. */
export interface InputSink {
  /** What may be sent before the guest gives credit. */
  readonly window: number;
  /** False: the agent does not read what was sent. `resume` of the input is called when it does. */
  hasRoom(): boolean;
  send(data: Buffer, onWritten?: () => void): void;
  close(): void;
}

/** Where the guest stands when the input goes on in another stream. */
export interface InputState {
  /** How many bytes it has taken so far. */
  readonly taken: number;
  /** It has taken the end as well. */
  readonly isEnded: boolean;
  /** Of its window, what is in use still by bytes that it has taken: credit for them is no confirmation. */
  readonly inUse: number;
}

interface Piece {
  readonly data: Buffer;
  readonly cost: number;
}

/**
 * What goes into a stream: waits for the stream's opening, then sends as the guest gives credit. One that
 * `keepsUnconfirmed` can go on in another stream: it keeps what was sent until credit confirms that the guest
 * has it, and sends again what the guest has not taken.
 */
export class StreamInput extends Writable {
  readonly #keepsUnconfirmed: boolean;
  readonly #onIdle: (() => void) | undefined;
  #sink: InputSink | undefined;
  #window = new SendWindow(0);
  #unansweredFrames = 0;
  #rest: Buffer | undefined;
  #onRest: ((error?: Error) => void) | undefined;
  /** Of what the channel has and has not sent yet. A channel that is lost calls nobody back. */
  #onSent: ((error?: Error) => void) | undefined;
  #onEndSent: (() => void) | undefined;
  #isEnding = false;
  #isEndSent = false;
  #isGone = false;
  /** What an earlier stream has sent in vain. */
  #again: Buffer[] = [];
  /** What this stream has sent and the guest has not confirmed. */
  #unconfirmed: Piece[] = [];
  #unconfirmedCost = 0;
  /** Bytes before `#unconfirmed`. */
  #confirmed = 0;
  #credited = 0;
  #inUse = 0;

  /** `onIdle` is called when all that was written, and the end, was sent. */
  constructor({
    keepsUnconfirmed = false,
    onIdle,
  }: { readonly keepsUnconfirmed?: boolean; readonly onIdle?: () => void } = {}) {
    super({ highWaterMark: MAX_PAYLOAD });
    this.#keepsUnconfirmed = keepsUnconfirmed;
    this.#onIdle = onIdle;
    // A guest may leave the input unread and end: that is no error for a caller who does not look.
    this.on('error', () => undefined);
  }

  /** How many bytes the guest has confirmed. */
  get confirmed(): number {
    return this.#confirmed;
  }

  /** Goes on where another reader's input has ended: to be called before it is opened. */
  beginAt(offset: number): void {
    this.#confirmed = offset;
  }

  /** All that was written, and the end, was sent in the present stream, or nobody reads it. */
  get isIdle(): boolean {
    const hasAll = this.#again.length === 0 && this.#rest === undefined;
    return this.#isGone || (hasAll && this.#sink !== undefined && (!this.#isEnding || this.#isEndSent));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, onWritten: (error?: Error) => void): void {
    if (this.#isGone) {
      onWritten(brokenPipe());
      return;
    }
    if (chunk.length === 0) {
      onWritten();
      return;
    }
    this.#rest = chunk;
    this.#onRest = onWritten;
    this.resume();
  }

  override _final(onEndSent: () => void): void {
    if (this.#isGone) {
      onEndSent();
      return;
    }
    this.#isEnding = true;
    this.#onEndSent = onEndSent;
    this.resume();
  }

  /**
   * The stream was opened. With a state it goes on with what an earlier one has left. Throws a
   * `ProtocolError` when the guest has forgotten what it has confirmed, or took what nobody sent.
   */
  open(sink: InputSink, state: InputState = { taken: 0, isEnded: false, inUse: 0 }): void {
    if (this.#isGone) return;
    const unconfirmed = [...this.#unconfirmed.map(({ data }) => data), ...this.#again];
    const sent = this.#confirmed + bytesOf(unconfirmed);
    if (this.#keepsUnconfirmed && (state.taken < this.#confirmed || state.taken > sent)) {
      throw new ProtocolError('input that was taken is not what was sent');
    }
    if (state.isEnded && !this.#isEnding) throw new ProtocolError('an end of input that nobody sent');
    this.#again = dropBytes(unconfirmed, state.taken - this.#confirmed);
    this.#unconfirmed = [];
    this.#unconfirmedCost = 0;
    this.#confirmed = state.taken;
    this.#credited = 0;
    this.#inUse = state.inUse;
    // What the guest still has to take was paid for by frames of an earlier stream: one credit is for them.
    this.#unansweredFrames = state.inUse > 0 ? 1 : 0;
    this.#isEndSent = state.isEnded;
    this.#sink = sink;
    this.#window = new SendWindow(sink.window);
    this.resume();
  }

  /** The stream is lost, and another one may follow. */
  suspend(): void {
    this.#sink = undefined;
  }

  /**
   * Throws a `ProtocolError` at more credits than frames: a flood of credits must have been paid for by what
   * was sent.
   */
  grant(credit: number): void {
    if (--this.#unansweredFrames < 0) throw new ProtocolError('credit for nothing');
    this.#window.grant(credit);
    this.#confirm(credit);
    this.resume();
  }

  /** Nobody reads it any more. */
  gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    const onWritten = this.#takeOnRest() ?? this.#takeOnSent();
    const onEndSent = this.#onEndSent;
    this.#rest = undefined;
    this.#onEndSent = undefined;
    this.#again = [];
    this.#unconfirmed = [];
    onEndSent?.();
    if (onWritten === undefined) this.destroy();
    else onWritten(brokenPipe());
    this.#onIdle?.();
  }

  /** Sends what can be sent now. */
  resume(): void {
    for (let piece = this.#nextPiece(this.#again[0]); piece !== undefined;) {
      this.#again = dropBytes(this.#again, piece.length);
      this.#send(piece);
      piece = this.#nextPiece(this.#again[0]);
    }
    if (this.#again.length > 0) return;
    while (this.#rest !== undefined) {
      const piece = this.#nextPiece(this.#rest);
      if (piece === undefined) return;
      const isLast = piece.length === this.#rest.length;
      this.#rest = isLast ? undefined : this.#rest.subarray(piece.length);
      const onRest = isLast ? this.#takeOnRest() : undefined;
      if (this.#keepsUnconfirmed) {
        this.#send(piece);
        onRest?.();
      } else {
        this.#onSent = onRest;
        this.#send(piece, onRest && (() => this.#takeOnSent()?.()));
      }
    }
    this.#sendEnd();
    this.#onIdle?.();
  }

  /** What of `data` the next frame can bring; undefined: none can be sent now. */
  #nextPiece(data: Buffer | undefined): Buffer | undefined {
    if (data === undefined || this.#sink?.hasRoom() !== true) return undefined;
    const most = Math.min(MAX_PAYLOAD, this.#window.room, this.#roomToKeep());
    if (most <= 0) return undefined;
    const [piece] = cutPayload(data, most);
    return piece;
  }

  #roomToKeep(): number {
    return this.#keepsUnconfirmed ? UNCONFIRMED_INPUT_BYTES - this.#unconfirmedCost - HEADER_SIZE : Infinity;
  }

  #send(piece: Buffer, onWritten?: () => void): void {
    const cost = frameCost(piece.length);
    this.#window.spend(piece.length);
    this.#unansweredFrames += 1;
    if (!this.#keepsUnconfirmed) {
      this.#sink?.send(piece, onWritten);
      return;
    }
    // Copied: the caller may use its buffer again before the guest confirms.
    const data = Buffer.from(piece);
    this.#unconfirmed.push({ data, cost });
    this.#unconfirmedCost += cost;
    this.#sink?.send(data);
  }

  #sendEnd(): void {
    if (!this.#isEnding || this.#sink === undefined) return;
    if (!this.#isEndSent) this.#sink.close();
    this.#isEndSent = true;
    const onEndSent = this.#onEndSent;
    this.#onEndSent = undefined;
    onEndSent?.();
  }

  #takeOnRest(): ((error?: Error) => void) | undefined {
    const onRest = this.#onRest;
    this.#onRest = undefined;
    return onRest;
  }

  #takeOnSent(): ((error?: Error) => void) | undefined {
    const onSent = this.#onSent;
    this.#onSent = undefined;
    return onSent;
  }

  #confirm(credit: number): void {
    const forEarlier = Math.min(this.#inUse, credit);
    this.#inUse -= forEarlier;
    this.#credited += credit - forEarlier;
    for (;;) {
      const [first] = this.#unconfirmed;
      if (first === undefined || first.cost > this.#credited) return;
      this.#unconfirmed.shift();
      this.#unconfirmedCost -= first.cost;
      this.#credited -= first.cost;
      this.#confirmed += first.data.length;
    }
  }
}

function bytesOf(buffers: readonly Buffer[]): number {
  return buffers.reduce((sum, { length }) => sum + length, 0);
}

/** The buffers without their first bytes. */
function dropBytes(buffers: readonly Buffer[], bytes: number): Buffer[] {
  let left = bytes;
  return buffers.flatMap((data) => {
    const dropped = Math.min(left, data.length);
    left -= dropped;
    return dropped === data.length ? [] : [data.subarray(dropped)];
  });
}

function brokenPipe(): Error {
  return Object.assign(new Error('write EPIPE: nobody in the guest reads it any more'), { code: 'EPIPE' });
}
