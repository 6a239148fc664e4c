import type { Duplex } from 'node:stream';
import { encodeHeader, seamHoldsPreamble } from './codec.js';
import type { Frame } from './codec.js';
import { FLAG_MORE, HEADER_SIZE, LONG_MESSAGES } from './protocol.js';

/** While this many bytes wait for the agent to read them, every caller that can wait does. */
const ROOMY_BYTES = 256 * 1024;
/**
 * More than this never waits: an agent that does not read ends its session. One whole message has room beside
 * `ROOMY_BYTES`.
 */
export const MAX_QUEUED_BYTES = 2 << 20;

export interface WriterEvents {
  /** There is room again. */
  onRoom(): void;
  /** More waits than may. */
  onOverflow(queuedBytes: number): void;
}

/** Writes frames, and knows how much of them the agent has not taken yet. */
export class FrameWriter {
  readonly #stream: Duplex;
  readonly #events: WriterEvents;
  #queuedBytes = 0;

  constructor(stream: Duplex, events: WriterEvents) {
    this.#stream = stream;
    this.#events = events;
  }

  /** Bytes that were written here and not yet taken by the channel. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** False: commands and their input wait for `onRoom`. */
  get hasRoom(): boolean {
    return this.#queuedBytes < ROOMY_BYTES;
  }

  /** The payload must not change until `onWritten`, which is not called once the stream failed. */
  write(frame: Frame, onWritten?: () => void): void {
    const header = encodeHeader(frame);
    const { payload } = frame;
    if (seamHoldsPreamble(header, payload)) {
      // Two shorter frames have other checksums. Only data and long messages have payloads that long, and
      // these may be cut.
      const flags = LONG_MESSAGES.has(frame.type) ? FLAG_MORE : 0;
      this.write({ ...frame, payload: payload.subarray(0, HEADER_SIZE), flags });
      this.write({ ...frame, payload: payload.subarray(HEADER_SIZE) }, onWritten);
      return;
    }
    const size = HEADER_SIZE + payload.length;
    this.#queuedBytes += size;
    this.#send(header, payload, (error) => {
      const hadRoom = this.hasRoom;
      this.#queuedBytes -= size;
      if (error !== undefined && error !== null) return;
      onWritten?.();
      if (!hadRoom && this.hasRoom) this.#events.onRoom();
    });
    if (this.#queuedBytes > MAX_QUEUED_BYTES) this.#events.onOverflow(this.#queuedBytes);
  }

  #send(header: Buffer, payload: Buffer, onEnd: (error?: Error | null) => void): void {
    if (payload.length === 0) {
      this.#stream.write(header, onEnd);
      return;
    }
    this.#stream.cork();
    this.#stream.write(header);
    this.#stream.write(payload, onEnd);
    this.#stream.uncork();
  }
}
