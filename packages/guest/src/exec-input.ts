import { Writable } from 'node:stream';
import { cutPayload } from './codec.js';
import { SendWindow } from './flow-control.js';
import { MAX_PAYLOAD } from './protocol.js';

interface InputSink {
  send(data: Buffer, onWritten?: () => void): void;
  close(): void;
}

/** The standard input of a command: sends as the guest gives credit. */
export class ExecInput extends Writable {
  readonly #sink: InputSink;
  readonly #window: SendWindow;
  #rest: Buffer | undefined;
  #onRest: ((error?: Error) => void) | undefined;
  #isGone = false;

  constructor(window: number, sink: InputSink) {
    super({ highWaterMark: MAX_PAYLOAD });
    this.#window = new SendWindow(window);
    this.#sink = sink;
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
    this.#pump();
  }

  override _final(onClosed: (error?: Error) => void): void {
    if (!this.#isGone) this.#sink.close();
    onClosed();
  }

  grant(credit: number): void {
    this.#window.grant(credit);
    this.#pump();
  }

  /** The command reads no more. */
  gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    const onRest = this.#onRest;
    this.#rest = undefined;
    this.#onRest = undefined;
    if (onRest === undefined) this.destroy();
    else onRest(brokenPipe());
  }

  #pump(): void {
    while (this.#rest !== undefined && this.#window.room > 0) {
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
      this.#sink.send(piece, onRest);
    }
  }
}

function brokenPipe(): Error {
  return Object.assign(new Error('write EPIPE: the command reads its input no more'), { code: 'EPIPE' });
}
