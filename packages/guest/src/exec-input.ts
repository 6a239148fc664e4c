import { Writable } from 'node:stream';
import { cutPayload } from './codec.js';
import { SendWindow } from './flow-control.js';
import { MAX_PAYLOAD, ProtocolError } from './protocol.js';

/** The stream that the input goes to, once its command was started. */
export interface InputSink {
  /** What may be sent before the guest gives credit. */
  readonly window: number;
  /** False: the agent does not read what was sent. `resume` of the input is called when it does. */
  hasRoom(): boolean;
  send(data: Buffer, onWritten?: () => void): void;
  close(): void;
}

/** The standard input of a command: waits for the command's start, then sends as the guest gives credit. */
export class ExecInput extends Writable {
  #sink: InputSink | undefined;
  #window = new SendWindow(0);
  #unansweredFrames = 0;
  #rest: Buffer | undefined;
  #onRest: ((error?: Error) => void) | undefined;
  #onClosed: (() => void) | undefined;
  #isGone = false;

  constructor() {
    super({ highWaterMark: MAX_PAYLOAD });
    // A command may leave its input unread and end: that is no error for a caller who does not look.
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

  /** The command was started. */
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

  /** The command reads no more. */
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
  return Object.assign(new Error('write EPIPE: the command reads its input no more'), { code: 'EPIPE' });
}
