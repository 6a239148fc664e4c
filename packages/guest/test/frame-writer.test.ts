import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { makeFrame } from '../src/codec.js';
import { FrameWriter, MAX_QUEUED_BYTES } from '../src/frame-writer.js';
import { FrameType, HEADER_SIZE } from '../src/protocol.js';

/** A stream whose other end reads only when it is told to. */
class Blocked extends Duplex {
  #next: (() => void) | undefined;

  override _write(_chunk: Buffer, _encoding: string, onTaken: () => void): void {
    this.#next = onTaken;
  }

  override _read(): void {}

  /** The other end reads all that waits. */
  async drain(): Promise<void> {
    while (this.writableLength > 0) {
      this.#next?.();
      await new Promise(setImmediate);
    }
  }
}

describe('the frame writer', () => {
  it('counts what the other end has not read, and tells once when there is room again', async () => {
    const stream = new Blocked();
    let rooms = 0;
    const writer = new FrameWriter(stream, { onRoom: () => (rooms += 1), onOverflow: () => undefined });
    const payload = Buffer.alloc(65_536);
    for (let frame = 0; frame < 4; frame++) writer.write(makeFrame(FrameType.data, 1, 1, payload));
    expect(writer.queuedBytes).toBe(4 * (HEADER_SIZE + payload.length));
    expect(writer.hasRoom).toBe(false);
    expect(rooms).toBe(0);
    await stream.drain();
    expect(writer.queuedBytes).toBe(0);
    expect(rooms).toBe(1);
  });

  it('tells when more waits than may, also if it is made of the smallest frames', () => {
    const seen: number[] = [];
    const writer = new FrameWriter(new Blocked(), {
      onRoom: () => undefined,
      onOverflow: (bytes) => seen.push(bytes),
    });
    for (let sent = 0; sent <= MAX_QUEUED_BYTES / HEADER_SIZE; sent++) {
      writer.write(makeFrame(FrameType.end, 1, 1));
    }
    expect(seen).toEqual([expect.any(Number)]);
    expect(seen[0]).toBeGreaterThan(MAX_QUEUED_BYTES);
  });
});
