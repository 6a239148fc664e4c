import type { Frame, FrameDecoder } from '../src/codec.js';

/**
 * All whole frames that a chunk completes; copied, as a decoder's frames are valid only until the next one.
 */
export function decodeFrames(decoder: FrameDecoder, chunk: Buffer): Frame[] {
  const frames: Frame[] = [];
  decoder.push(chunk);
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
    frames.push({ ...frame, payload: Buffer.from(frame.payload) });
  }
  return frames;
}
