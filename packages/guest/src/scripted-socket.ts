import type { ConnectTarget } from '@microvm/runtime';
import type { Frame } from './codec.js';
import { encodeFailed } from './messages.js';
import { encodeClosed } from './socket-messages.js';
import { FrameType, ProtocolError } from './protocol.js';
import { ScriptedErrno } from './scripted-command.js';
import type { ScriptErrors } from './scripted-errors.js';
import { ScriptedStream } from './scripted-stream.js';
import type { ScriptedStreamParts } from './scripted-stream.js';

/** A connection as a server in a scripted guest sees it. */
export interface ScriptedSocket {
  readonly target: ConnectTarget;
  /** What the host sends; ends when the host sends no more. */
  readonly input: AsyncIterable<Buffer>;
  /** Aborted when the host resets the connection, or is gone. */
  readonly signal: AbortSignal;
  /** Resolves when there is room for more. */
  readonly write: (data: string | Uint8Array) => Promise<void>;
}

/**
 * Serves one connection. Its end is the end of what it sends. A `ScriptedErrno` resets the connection; any
 * other error is the one that the host's end is destroyed with.
 */
export type ScriptedServer = (socket: ScriptedSocket) => Promise<void> | void;

/** A connection of a scripted guest, on its stream. */
export class SocketStream {
  readonly #stream: ScriptedStream;
  readonly #errors: ScriptErrors;
  readonly #onEnd: () => void;
  readonly #abort = new AbortController();
  #hasServed = false;
  #hasEnded = false;

  constructor(parts: ScriptedStreamParts, errors: ScriptErrors, onEnd: () => void) {
    this.#stream = new ScriptedStream(parts);
    this.#errors = errors;
    this.#onEnd = onEnd;
  }

  async run(target: ConnectTarget, serve: ScriptedServer): Promise<void> {
    this.#stream.say(FrameType.opened);
    try {
      const { signal } = this.#abort;
      const write = (data: string | Uint8Array) => this.#stream.write(1, data);
      await serve({ target, input: this.#stream.read(), signal, write });
      if (this.#hasEnded) return;
      this.#hasServed = true;
      this.#stream.say(FrameType.endToHost);
      this.#endIfOver();
    } catch (error) {
      if (error instanceof ScriptedErrno) this.#finish(FrameType.ended, encodeClosed(true));
      else this.#fail(error);
    }
  }

  onFrame(frame: Frame): void {
    if (this.#stream.onFrame(frame)) {
      this.#endIfOver();
      return;
    }
    if (frame.type !== FrameType.cancel) throw new ProtocolError(`frame type ${frame.type} for a connection`);
    this.#finish(FrameType.ended, encodeClosed(true));
  }

  /** A socket has no process that a signal could reach. */
  kill(): void {
    return;
  }

  /** The host listens no more. */
  detach(): void {
    this.#hasEnded = true;
    this.#abort.abort();
    this.#stream.detach();
  }

  #endIfOver(): void {
    if (this.#hasServed && this.#stream.isInputClosed) this.#finish(FrameType.ended, encodeClosed(false));
  }

  #fail(error: unknown): void {
    if (this.#hasEnded) return;
    const { errno, step } = this.#errors.keep(error);
    this.#finish(FrameType.failed, encodeFailed(errno, step));
  }

  #finish(type: FrameType, payload: Buffer): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#stream.finish(type, payload);
    this.#abort.abort();
    this.#onEnd();
  }
}
