import { duplexPair } from 'node:stream';
import type { Duplex } from 'node:stream';
import { isVmRuntimeError } from '@microvm/runtime';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AgentFailure } from '../src/agent-failure.js';
import { AgentClient } from '../src/client.js';
import { encodeFrame, FrameDecoder, makeFrame } from '../src/codec.js';
import { decodeHello, encodeHelloAck } from '../src/messages.js';
import { FrameType, HEADER_SIZE, OUTPUT_WINDOW } from '../src/protocol.js';
import { encodeMark, MarkScanner } from '../src/sync.js';
import { decodeFrames } from './decode-frames.js';

/** An agent that shakes hands and from then on says what the test wants. */
async function hostileAgent(): Promise<{ readonly client: AgentClient; readonly guest: Duplex }> {
  const [host, guest] = duplexPair();
  const scanner = new MarkScanner();
  const greeted = new Promise<void>((resolve) => {
    guest.on('data', (chunk: Buffer) => {
      const mark = scanner.push(chunk);
      const hello = mark === undefined ? undefined : decodeFrames(new FrameDecoder(), mark.rest)[0];
      if (hello === undefined) return;
      const { session } = decodeHello(hello.payload);
      const ack = encodeHelloAck({
        session,
        version: 2,
        lowestVersion: 2,
        highestVersion: 2,
        maxStreams: 8,
        inputWindow: 65_536,
        info: { agentVersion: 'hostile', epoch: 1, kernelRelease: 'k', isFrozen: false, isInit: true },
      });
      guest.write(
        Buffer.concat([encodeMark(session), encodeFrame(makeFrame(FrameType.helloAck, 0, 1, ack))]),
      );
      resolve();
    });
  });
  const client = await AgentClient.connect(host, { vm: { vmId: 'vm' }, timeoutMs: 600_000 });
  await greeted;
  return { client, guest };
}

async function expectCutOff(frames: readonly Buffer[], reason: RegExp): Promise<void> {
  const { client, guest } = await hostileAgent();
  const running = client.exec({ argv: ['x'] });
  for (const frame of frames) guest.write(frame);
  await client.closed;
  const error = (await running.result.catch((failure: unknown) => failure)) as {
    details: { reason: string };
  };
  expect(error).toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
  expect(error.details.reason).toMatch(reason);
}

describe('a hostile agent', () => {
  it('cannot bring a control character into an error', async () => {
    const words = '\u001b[2Jbye\r\n';
    const size = Buffer.alloc(4);
    size.writeUInt32LE(words.length);
    const reset = Buffer.concat([size, Buffer.from(words)]);
    await expectCutOff(
      [encodeFrame(makeFrame(FrameType.reset, 0, 1, reset))],
      /it reset the session: \\x1b\[2Jbye\\r\\n$/,
    );
  });

  it('cannot send more output than it has credit for', async () => {
    const piece = encodeFrame(makeFrame(FrameType.data1, 1, 1, Buffer.alloc(32 * 1024)));
    const frames = Array.from({ length: OUTPUT_WINDOW / (32 * 1024) }, () => piece);
    await expectCutOff(frames, /data without credit/);
  });

  it('cannot flood the host with tiny frames: their headers cost credit too', async () => {
    const tiny = encodeFrame(makeFrame(FrameType.data1, 1, 1, Buffer.from('x')));
    const most = Math.floor(OUTPUT_WINDOW / (HEADER_SIZE + 1));
    await expectCutOff([Buffer.concat(Array.from({ length: most + 1 }, () => tiny))], /data without credit/);
  });

  it('cannot tell of more connections than a listener lets wait', async () => {
    const { client, guest } = await hostileAgent();
    const listening = client.listen({ port: 80 });
    guest.write(encodeFrame(makeFrame(FrameType.opened, 1, 1)));
    const listener = await listening;
    const numbers = Buffer.alloc(4 * 17, 1);
    guest.write(encodeFrame(makeFrame(FrameType.data1, 1, 1, numbers)));
    await client.closed;
    await expect(listener[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'MICROVM_GUEST_UNREACHABLE',
      details: { reason: expect.stringContaining('more connections than can wait') as unknown },
    });
  });

  it('is cut off for any frame that has no place in the session', async () => {
    const bad: [Buffer, RegExp][] = [
      [encodeFrame(makeFrame(FrameType.data1, 1, 1)), /data without credit/],
      [encodeFrame(makeFrame(FrameType.pong, 1, 1)), /of a stream/],
      [encodeFrame(makeFrame(FrameType.ok, 77, 1)), /never opened/],
      [encodeFrame(makeFrame(FrameType.ok, 0, 1)), /outside of a stream/],
      [encodeFrame(makeFrame(FrameType.opened, 1, 2)), /epoch 2 was not begun/],
      [encodeFrame(makeFrame(FrameType.opened, 1, 0)), /an epoch that is over/],
      [encodeFrame(makeFrame(FrameType.ended, 1, 1, Buffer.of(1, 0))), /out of range/],
      [encodeFrame(makeFrame(FrameType.farewell, 0, 1, Buffer.of(9, 9))), /out of range/],
      [
        encodeFrame(makeFrame(FrameType.creditToHost, 1, 1, Buffer.of(0, 255, 255, 255, 255))),
        /out of range/,
      ],
      [Buffer.alloc(64, 0xaa), /bad magic/],
    ];
    for (const [bytes, reason] of bad) await expectCutOff([bytes], reason);
  });

  it('can say anything at all: every call ends with a typed error and nothing is thrown elsewhere', async () => {
    const frame = fc
      .record({
        type: fc.constantFrom(...Object.values(FrameType)),
        flags: fc.constant(0),
        epoch: fc.constantFrom(0, 1, 1, 1, 2),
        stream: fc.nat(3),
        payload: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      })
      .map(encodeFrame);
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { maxLength: 12 }), async (frames) => {
        const { client, guest } = await hostileAgent();
        const calls = [client.exec({ argv: ['x'] }).result, client.ping(), client.freeze()];
        for (const bytes of frames) guest.write(bytes);
        guest.end();
        await client.closed;
        for (const call of await Promise.allSettled<unknown>(calls)) {
          if (call.status === 'fulfilled') continue;
          expect(call.reason instanceof AgentFailure || isVmRuntimeError(call.reason)).toBe(true);
        }
        await expect(client.ping()).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
      }),
      { numRuns: 200 },
    );
  });
});
