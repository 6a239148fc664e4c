import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  cutPayload,
  encodeFrame,
  encodeHeader,
  FrameDecoder,
  makeFrame,
  seamHoldsPreamble,
} from '../src/codec.js';
import type { Frame } from '../src/codec.js';
import {
  decodeExec,
  decodeExecV1,
  decodeFarewell,
  decodeHelloAck,
  decodeResize,
  decodeThaw,
  encodeExec,
} from '../src/messages.js';
import type { ExecMessage } from '../src/messages.js';
import { FrameType, HEADER_SIZE, MAX_PAYLOAD, PREAMBLE, ProtocolError, RLIMITS } from '../src/protocol.js';
import { decodeFrames } from './decode-frames.js';

const command = (argv: ExecMessage['argv']): ExecMessage => ({
  ...{ id: '0123456789abcdef', isDetached: false },
  ...{ argv, env: {}, cwd: '/srv', user: '' },
  ...{ rlimits: {}, pty: undefined, secrets: {} },
});
const u32 = fc.nat(0xffff_ffff);
const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const frames = fc.array(
  fc
    .record({
      type: fc.constantFrom(...Object.values(FrameType)),
      flags: fc.constant(0),
      epoch: u32,
      stream: u32,
      payload: bytes(300),
    })
    .map((frame): Frame => frame),
  { maxLength: 8 },
);

/** Cuts bytes at the given places. */
function split(whole: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (whole.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, index) => whole.subarray(from, places[index] ?? whole.length));
}

function decodeAll(chunks: readonly Buffer[]): Frame[] {
  const decoder = new FrameDecoder();
  return chunks.flatMap((chunk) => decodeFrames(decoder, chunk));
}

/** Runs it; a violation is fine, any other error is not. */
function orViolation<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

describe('the frame codec', () => {
  it('gives back every frame, however the bytes are split', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat(5_000), { maxLength: 40 }), (sent, cuts) => {
        const whole = Buffer.concat(sent.map(encodeFrame));
        expect(decodeAll(split(whole, cuts))).toEqual(sent);
      }),
    );
  });

  it('gives the whole frames of a truncated stream and waits for the rest', () => {
    fc.assert(
      fc.property(frames, fc.nat(), (sent, at) => {
        const encoded = sent.map(encodeFrame);
        const whole = Buffer.concat(encoded);
        const end = at % (whole.length + 1);
        const ends = encoded.map((_, index) => Buffer.concat(encoded.slice(0, index + 1)).length);
        const complete = ends.filter((place) => place <= end).length;
        expect(decodeAll([whole.subarray(0, end)])).toEqual(sent.slice(0, complete));
      }),
    );
  });

  it('refuses a frame in which any one bit was changed', () => {
    fc.assert(
      fc.property(bytes(64), fc.nat(), (payload, place) => {
        const frame = encodeFrame(makeFrame(FrameType.data1, 7, 3, payload));
        const bit = place % (frame.length * 8);
        frame.writeUInt8(frame.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        // A length that grew makes it an unfinished frame; nothing makes it a frame.
        expect(orViolation(() => decodeAll([frame])) ?? []).toEqual([]);
      }),
    );
  });

  it('refuses a length beyond the limit before it has received the payload', () => {
    fc.assert(
      fc.property(fc.integer({ min: MAX_PAYLOAD + 1, max: 0xffff_ffff }), (length) => {
        const header = encodeHeader(makeFrame(FrameType.data1, 1, 1));
        header.writeUInt32LE(length, 16);
        expect(() => decodeAll([header])).toThrow(ProtocolError);
      }),
    );
  });

  it('answers random bytes with nothing worse than a violation', () => {
    fc.assert(
      fc.property(bytes(200), (noise) => {
        orViolation(() => decodeAll([noise]));
        const header = encodeHeader(makeFrame(FrameType.data1, 1, 1, noise));
        orViolation(() => decodeAll([header, noise, noise]));
      }),
    );
  });
});

describe('a payload that holds the preamble of a sync mark', () => {
  const around = fc.tuple(
    bytes(40),
    fc.array(fc.constant(PREAMBLE), { minLength: 1, maxLength: 3 }),
    bytes(40),
  );

  it('is cut so that no frame holds it, and nothing is lost', () => {
    fc.assert(
      fc.property(around, fc.integer({ min: 1, max: 64 }), ([before, marks, after], most) => {
        const payload = Buffer.concat([before, ...marks, after]);
        const pieces = [...cutPayload(payload, most)];
        expect(Buffer.concat(pieces)).toEqual(payload);
        const wire = Buffer.concat(
          pieces.map((piece) => encodeFrame(makeFrame(FrameType.data, 1, 1, piece))),
        );
        expect(wire.includes(PREAMBLE)).toBe(false);
      }),
    );
  });

  it('is noticed at the seam of the header and the payload', () => {
    for (let inHeader = 1; inHeader <= 4; inHeader++) {
      const header = Buffer.alloc(HEADER_SIZE);
      PREAMBLE.copy(header, HEADER_SIZE - inHeader, 0, inHeader);
      expect(seamHoldsPreamble(header, PREAMBLE.subarray(inHeader))).toBe(true);
      expect(seamHoldsPreamble(header, PREAMBLE.subarray(inHeader + 1))).toBe(false);
    }
  });
});

describe('the message decoders', () => {
  it('answer random payloads with nothing worse than a violation', () => {
    const decoders = [decodeHelloAck, decodeExec, decodeExecV1, decodeResize, decodeThaw, decodeFarewell];
    fc.assert(
      fc.property(bytes(200), (payload) => {
        for (const decode of decoders) orViolation<unknown>(() => decode(payload));
      }),
    );
  });

  it('give back every command', () => {
    const text = fc.string({ unit: 'binary', maxLength: 30 }).filter((value) => !value.includes('\0'));
    const name = fc.oneof(fc.stringMatching(/^[A-Za-z_]{1,10}$/), fc.constant('__proto__'));
    fc.assert(
      fc.property(text, fc.array(text, { maxLength: 5 }), fc.dictionary(name, text), (program, rest, env) => {
        const message = { ...command([program, ...rest]), env: { ...env } };
        expect(decodeExec(encodeExec(message).body)).toEqual(message);
        const { bodyV1 } = encodeExec(message);
        // Version 1 knows no ids.
        expect(bodyV1 && decodeExecV1(bodyV1)).toEqual({ ...message, id: expect.any(String) as string });
      }),
    );
  });

  it('give back every user, limit and terminal', () => {
    const count = fc.integer({ min: 1, max: 0xffff });
    const limit = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
    const asked = fc.record({
      user: fc.constantFrom('root', '1000', 'me:wheel'),
      rlimits: fc.record(Object.fromEntries(RLIMITS.map((name) => [name, limit])), { requiredKeys: [] }),
      pty: fc.option(fc.record({ cols: count, rows: count, term: fc.constantFrom('', 'xterm-256color') }), {
        nil: undefined,
      }),
    });
    fc.assert(
      fc.property(asked, (more) => {
        const message = { ...command(['sh']), ...more };
        expect(decodeExec(encodeExec(message).body)).toEqual(message);
        expect(encodeExec(message).bodyV1).toBeUndefined();
      }),
    );
  });
});
