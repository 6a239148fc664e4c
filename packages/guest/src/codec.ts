import { crc32 } from 'node:zlib';
import {
  FLAG_MORE,
  FRAME_TYPES,
  FrameType,
  HEADER_SIZE,
  MAGIC,
  MAX_PAYLOAD,
  PREAMBLE,
  ProtocolError,
} from './protocol.js';

/** One frame; its payload may share memory with the chunk that it came in. */
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
 * Cuts a payload into pieces that fit frames and hold no preamble: the agent looks for it in all bytes, and one inside a frame
 * would end the session. `most` is the longest piece.
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
 * True when a preamble would stand at the seam of the header's checksum and the payload: one in 2³² by chance, but whoever chooses
 * the payload can arrange it. Another length gives another checksum.
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
  const allowed = type === FrameType.exec ? FLAG_MORE : 0;
  if ((header.readUInt8(5) & ~allowed) !== 0 || header.readUInt16LE(6) !== 0) {
    throw new ProtocolError('bad flags');
  }
  const length = header.readUInt32LE(16);
  if (length > MAX_PAYLOAD) throw new ProtocolError(`frame of ${length} bytes`);
  // SAFETY: the set holds the values of FrameType and nothing else.
  return { type: type as FrameType, length };
}

/** Turns a byte stream into frames. Holds at most one unfinished frame. */
export class FrameDecoder {
  #parts: Buffer[] = [];
  #size = 0;

  /** Throws a `ProtocolError` at the first frame that breaks a rule; frames before it were yielded. */
  *push(chunk: Buffer): Generator<Frame> {
    this.#parts.push(chunk);
    this.#size += chunk.length;
    for (;;) {
      if (this.#size < HEADER_SIZE) return;
      const header = this.#peek(HEADER_SIZE);
      const { type, length } = parseHeader(header);
      if (this.#size < HEADER_SIZE + length) return;
      const bytes = this.#take(HEADER_SIZE + length);
      const payload = bytes.subarray(HEADER_SIZE);
      if (crc32(payload, crc32(bytes.subarray(0, 20))) !== bytes.readUInt32LE(20)) {
        throw new ProtocolError('bad checksum');
      }
      yield {
        type,
        flags: bytes.readUInt8(5),
        epoch: bytes.readUInt32LE(8),
        stream: bytes.readUInt32LE(12),
        payload,
      };
    }
  }

  #peek(size: number): Buffer {
    const first = this.#parts[0] ?? EMPTY;
    if (first.length >= size) return first;
    this.#parts = [Buffer.concat(this.#parts)];
    return this.#parts[0] ?? EMPTY;
  }

  #take(size: number): Buffer {
    const first = this.#peek(size);
    this.#size -= size;
    if (first.length === size) this.#parts.shift();
    else this.#parts[0] = first.subarray(size);
    return first.subarray(0, size);
  }
}
