import type { ConnectTarget } from '@microvm/runtime';
import type { Frame } from './codec.js';
import { encodeClosed } from './messages.js';
import { FrameType, ProtocolError } from './protocol.js';
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

/** Serves one connection. Its end is the end of what it sends; an error of it resets the connection. */
export type ScriptedServer = (socket: ScriptedSocket) => Promise<void> | void;

/** A connection of a scripted guest, on its stream. */
export class SocketStream {
  readonly #stream: ScriptedStream;
  readonly #onEnd: () => void;
  readonly #abort = new AbortController();
  #hasServed = false;
  #hasEnded = false;

  constructor(parts: ScriptedStreamParts, onEnd: () => void) {
    this.#stream = new ScriptedStream(parts);
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
    } catch {
      this.#finish(true); // As a program that crashes: the host learns of it by the reset.
    }
  }

  onFrame(frame: Frame): void {
    if (this.#stream.onFrame(frame)) {
      this.#endIfOver();
      return;
    }
    if (frame.type !== FrameType.cancel) throw new ProtocolError(`frame type ${frame.type} for a connection`);
    this.#finish(true);
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
    if (this.#hasServed && this.#stream.isInputClosed) this.#finish(false);
  }

  #finish(isReset: boolean): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#stream.finish(FrameType.ended, encodeClosed(isReset));
    this.#abort.abort();
    this.#onEnd();
  }
}
