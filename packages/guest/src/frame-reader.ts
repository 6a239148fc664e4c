import type { Duplex } from 'node:stream';
import type { Frame, FrameDecoder } from './codec.js';
import { HEADER_SIZE, ProtocolError } from './protocol.js';

/**
 * The most that one turn of the event loop takes from one guest. The rest waits for the next turn, and the
 * stream is not read meanwhile. So a guest that floods the host is held up by its own channel, and other work
 * gets its turn.
 */
export const TURN_LIMITS = { frames: 1024, bytes: 256 * 1024 } as const;

export interface FrameSink {
  /** May throw a `ProtocolError`, which `onViolation` gets. */
  onFrame(frame: Frame): void;
  onViolation(error: ProtocolError): void;
  /** The stream is over, and every whole frame of it was handed over. */
  onEnd(error?: Error): void;
}

/** Hands over the frames of a stream, a bounded number of them in each turn of the event loop. */
export class FrameReader {
  readonly #stream: Duplex;
  readonly #decoder: FrameDecoder;
  readonly #sink: FrameSink;
  #received = { frames: 0, bytes: 0 };
  #turnBegan: { readonly frames: number; readonly bytes: number } | undefined;
  #waitsForTurn = false;
  #end: { readonly error?: Error } | undefined;
  #isStopped = false;

  /** `decoder` may hold bytes already. Nothing is handed over before `start`. */
  constructor(stream: Duplex, decoder: FrameDecoder, sink: FrameSink) {
    this.#stream = stream;
    this.#decoder = decoder;
    this.#sink = sink;
    stream.on('data', (chunk: Buffer) => {
      if (this.#isStopped) return;
      this.#decoder.push(chunk);
      this.#handOver();
    });
    stream.on('error', (error: Error) => {
      this.#onEnd({ error });
    });
    stream.on('end', () => this.#onEnd({})).on('close', () => this.#onEnd({}));
  }

  /** What was handed over so far. */
  get received(): { readonly frames: number; readonly bytes: number } {
    return this.#received;
  }

  start(): void {
    this.#handOver();
    if (!this.#waitsForTurn) this.#stream.resume();
  }

  /** Nothing is handed over any more. What the stream still brings is thrown away. */
  stop(): void {
    this.#isStopped = true;
  }

  #handOver(): void {
    try {
      for (;;) {
        if (this.#isStopped || this.#waitsForTurn) return;
        if (this.#isTurnSpent()) {
          this.#waitsForTurn = true;
          this.#stream.pause();
          return;
        }
        const frame = this.#decoder.next();
        if (frame === undefined) break;
        this.#count(frame);
        this.#sink.onFrame(frame);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#isStopped = true;
      this.#sink.onViolation(error);
      return;
    }
    if (this.#end !== undefined) this.#finish(this.#end.error);
  }

  #count(frame: Frame): void {
    const { frames, bytes } = this.#received;
    if (this.#turnBegan === undefined) {
      this.#turnBegan = this.#received;
      setImmediate(() => {
        this.#onNextTurn();
      });
    }
    this.#received = { frames: frames + 1, bytes: bytes + HEADER_SIZE + frame.payload.length };
  }

  #isTurnSpent(): boolean {
    if (this.#turnBegan === undefined) return false;
    const { frames, bytes } = this.#received;
    return (
      frames - this.#turnBegan.frames >= TURN_LIMITS.frames ||
      bytes - this.#turnBegan.bytes >= TURN_LIMITS.bytes
    );
  }

  #onNextTurn(): void {
    this.#turnBegan = undefined;
    if (!this.#waitsForTurn) return;
    this.#waitsForTurn = false;
    this.#handOver();
    if (!this.#waitsForTurn) this.#stream.resume();
  }

  #onEnd(end: { readonly error?: Error }): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    if (!this.#isStopped && !this.#waitsForTurn) this.#finish(end.error);
  }

  #finish(error: Error | undefined): void {
    this.#isStopped = true;
    this.#sink.onEnd(error);
  }
}
