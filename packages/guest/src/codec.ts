import { crc32 } from 'node:zlib';
import type { FrameType } from './protocol.js';
import {
  FLAG_MORE,
  LONG_MESSAGES,
  FRAME_TYPES,
  HEADER_SIZE,
  MAGIC,
  MAX_PAYLOAD,
  PREAMBLE,
  ProtocolError,
} from './protocol.js';

/**
 * One frame. A received payload may share memory with the chunk in which it came: who keeps a payload must
 * copy it.
 */
export interface Frame {
  readonly type: FrameType;
  readonly flags: number;
  readonly epoch: number;
  readonly stream: number;
  readonly payload: Buffer;
}

const EMPTY = Buffer.alloc(0);

/** What of a frame goes on the wire before its payload. */
export function encodeHeader(frame: Frame): Buffer {
  const header = Buffer.alloc(HEADER_SIZE);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt8(frame.type, 4);
  header.writeUInt8(frame.flags, 5);
  header.writeUInt32LE(frame.epoch, 8);
  header.writeUInt32LE(frame.stream, 12);
  header.writeUInt32LE(frame.payload.length, 16);
  header.writeUInt32LE(crc32(frame.payload, crc32(header.subarray(0, 20))), 20);
  return header;
}

/** The whole frame as one buffer. */
export function encodeFrame(frame: Frame): Buffer {
  return Buffer.concat([encodeHeader(frame), frame.payload]);
}

export function makeFrame(type: FrameType, stream: number, epoch: number, payload: Buffer = EMPTY): Frame {
  return { type, flags: 0, epoch, stream, payload };
}

/**
 * Cuts a payload into pieces that fit frames and hold no preamble: the agent looks for it in all bytes, and
 * one inside a frame would end the session. `most` is the longest piece.
 */
export function* cutPayload(payload: Buffer, most: number = MAX_PAYLOAD): Generator<Buffer> {
  let rest = payload;
  while (rest.length > 0) {
    let size = Math.min(most, rest.length);
    const at = rest.subarray(0, size).indexOf(PREAMBLE);
    if (at >= 0) size = at + PREAMBLE.length / 2;
    yield rest.subarray(0, size);
    rest = rest.subarray(size);
  }
}

/**
 * True when a preamble would stand at the seam of the header's checksum and the payload. By chance that is
 * one frame in 2³², but whoever chooses the payload can arrange it. Another length gives another checksum.
 */
export function seamHoldsPreamble(header: Buffer, payload: Buffer): boolean {
  for (let inHeader = 1; inHeader <= 4; inHeader++) {
    const rest = PREAMBLE.length - inHeader;
    if (payload.length < rest || header[HEADER_SIZE - inHeader] !== PREAMBLE[0]) continue;
    const seam = Buffer.concat([header.subarray(HEADER_SIZE - inHeader), payload.subarray(0, rest)]);
    if (seam.equals(PREAMBLE)) return true;
  }
  return false;
}

function parseHeader(header: Buffer): { readonly type: FrameType; readonly length: number } {
  if (header.readUInt32LE(0) !== MAGIC) throw new ProtocolError('bad magic');
  const type = header.readUInt8(4);
  if (!FRAME_TYPES.has(type)) throw new ProtocolError(`unknown frame type ${type}`);
  const allowed = LONG_MESSAGES.has(type) ? FLAG_MORE : 0;
  if ((header.readUInt8(5) & ~allowed) !== 0 || header.readUInt16LE(6) !== 0) {
    throw new ProtocolError('bad flags');
  }
  const length = header.readUInt32LE(16);
  if (length > MAX_PAYLOAD) throw new ProtocolError(`frame of ${length} bytes`);
  // SAFETY: the set holds the values of FrameType and nothing else.
  return { type: type as FrameType, length };
}

function checkFrame(bytes: Buffer): Frame {
  const payload = bytes.subarray(HEADER_SIZE);
  if (crc32(payload, crc32(bytes.subarray(0, 20))) !== bytes.readUInt32LE(20)) {
    throw new ProtocolError('bad checksum');
  }
  return {
    type: parseHeader(bytes).type,
    flags: bytes.readUInt8(5),
    epoch: bytes.readUInt32LE(8),
    stream: bytes.readUInt32LE(12),
    payload,
  };
}

/**
 * Turns a byte stream into frames. A frame that lies whole in one chunk is a view of that chunk. An
 * unfinished frame is copied, so that the decoder keeps at most one frame and no chunk alive while it waits
 * for more.
 */
export class FrameDecoder {
  #chunk: Buffer = EMPTY;
  /** The unfinished frame, in a buffer as long as is known so far that the frame is. */
  #unfinished: Buffer | undefined;
  #filled = 0;

  /** Adds received bytes. Call `next` until it answers undefined before adding more. */
  push(chunk: Buffer): void {
    this.#chunk = this.#chunk.length === 0 ? chunk : Buffer.concat([this.#chunk, chunk]);
  }

  /**
   * The next whole frame; undefined until more bytes are added. The payload may change with the next call of
   * any method, so who keeps it must copy it. Throws a `ProtocolError` at a frame that breaks a rule; the
   * decoder is of no use then.
   */
  next(): Frame | undefined {
    if (this.#unfinished === undefined && this.#chunk.length >= HEADER_SIZE) {
      const size = HEADER_SIZE + parseHeader(this.#chunk).length;
      if (this.#chunk.length >= size) return checkFrame(this.#take(size));
    }
    if (this.#chunk.length === 0 || !this.#fill(HEADER_SIZE)) return undefined;
    const whole = this.#fill(HEADER_SIZE + parseHeader(this.#unfinished ?? EMPTY).length);
    if (!whole || this.#unfinished === undefined) return undefined;
    const bytes = this.#unfinished;
    this.#unfinished = undefined;
    this.#filled = 0;
    return checkFrame(bytes);
  }

  /**
   * Moves bytes into the unfinished frame until it has `size` of them; false when there are not enough yet.
   */
  #fill(size: number): boolean {
    if (this.#unfinished === undefined || this.#unfinished.length < size) {
      const longer = Buffer.allocUnsafeSlow(size);
      this.#unfinished?.copy(longer);
      this.#unfinished = longer;
    }
    const added = Math.min(size - this.#filled, this.#chunk.length);
    if (added > 0) this.#filled += this.#take(added).copy(this.#unfinished, this.#filled);
    return this.#filled >= size;
  }

  #take(size: number): Buffer {
    const taken = this.#chunk.subarray(0, size);
    this.#chunk = this.#chunk.length === size ? EMPTY : this.#chunk.subarray(size);
    return taken;
  }
}
