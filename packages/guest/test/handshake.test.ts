import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import type { Duplex } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AgentClient } from '../src/client.js';
import { encodeFrame, makeFrame } from '../src/codec.js';
import { decodeHello, encodeHelloAck } from '../src/messages.js';
import type { HelloAck } from '../src/messages.js';
import { FrameType, HEADER_SIZE, PREAMBLE, SESSION_ID_SIZE } from '../src/protocol.js';
import { ScriptedAgent } from '../src/scripted-agent.js';
import { encodeMark, Scanner } from '../src/sync.js';
import { connectTo } from './scripted-guest.js';

const info = { agentVersion: 'test', epoch: 4, kernelRelease: 'k', isFrozen: false, isInit: true };

function answer(session: Buffer, change: Partial<HelloAck> = {}): Buffer {
  const ack: HelloAck = {
    session,
    version: 2,
    lowestVersion: 2,
    highestVersion: 2,
    maxStreams: 8,
    inputWindow: 65_536,
    info,
    ...change,
  };
  return Buffer.concat([
    encodeMark(session),
    encodeFrame(makeFrame(FrameType.helloAck, 0, ack.info.epoch, encodeHelloAck(ack))),
  ]);
}

/** The session id of the next HELLO that arrives. */
async function nextHello(guest: Duplex): Promise<Buffer> {
  let received = Buffer.alloc(0);
  const length = PREAMBLE.length + SESSION_ID_SIZE + HEADER_SIZE + SESSION_ID_SIZE + 8;
  while (received.length < length) {
    const [chunk] = (await once(guest, 'data')) as [Buffer];
    received = Buffer.concat([received, chunk]);
  }
  expect(received.subarray(0, PREAMBLE.length)).toEqual(PREAMBLE);
  const hello = decodeHello(received.subarray(PREAMBLE.length + SESSION_ID_SIZE + HEADER_SIZE));
  expect(received.subarray(PREAMBLE.length, PREAMBLE.length + SESSION_ID_SIZE)).toEqual(hello.session);
  return hello.session;
}

describe('connecting', () => {
  it('skips the rest of an earlier session, however it was cut off', async () => {
    const leftOver = fc
      .record({
        noise: fc.uint8Array({ maxLength: 80 }),
        cut: fc.nat(200),
        old: fc.uint8Array({ minLength: 16, maxLength: 16 }),
      })
      .map(({ noise, cut, old }) => {
        const frame = encodeFrame(makeFrame(FrameType.data1, 1, 4, Buffer.from(noise)));
        // Half a frame, and a whole answer that was meant for somebody else.
        return Buffer.concat([frame.subarray(0, cut), Buffer.from(noise), answer(Buffer.from(old)), frame]);
      });
    await fc.assert(
      fc.asyncProperty(leftOver, fc.nat(200), async (bytes, cut) => {
        const [host, guest] = duplexPair();
        guest.write(bytes.subarray(0, cut));
        const connecting = AgentClient.connect(host, { vm: { vmId: 'vm' }, timeoutMs: 600_000 });
        const session = await nextHello(guest);
        guest.write(bytes.subarray(cut));
        const whole = answer(session);
        guest.write(whole.subarray(0, cut % whole.length));
        guest.write(whole.subarray(cut % whole.length));
        const client = await connecting;
        expect(client.info).toEqual(info);
        client.close();
      }),
      { numRuns: 50 },
    );
  });

  it('asks again with a new session id, and only the answer to the newest counts', async () => {
    const [host, guest] = duplexPair();
    const connecting = AgentClient.connect(host, { vm: { vmId: 'vm' }, timeoutMs: 600_000 });
    const first = await nextHello(guest);
    const second = await nextHello(guest);
    expect(second).not.toEqual(first);
    guest.write(answer(first, { info: { ...info, epoch: 9 } }));
    guest.write(answer(second));
    const client = await connecting;
    expect(client.epoch).toBe(4);
    client.close();
  });

  it('rejects with GUEST_UNREACHABLE when the agent stays silent', async () => {
    const [host] = duplexPair();
    const error = await AgentClient.connect(host, { vm: { vmId: 'mine' }, timeoutMs: 20 }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE', details: { vmId: 'mine' } });
    expect(host.destroyed).toBe(true);
  });

  it('rejects with GUEST_UNREACHABLE when the stream ends first, also when it has ended before', async () => {
    const [host, guest] = duplexPair();
    const connecting = AgentClient.connect(host, { vm: { vmId: 'vm' } });
    guest.end();
    await expect(connecting).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    await expect(AgentClient.connect(host, { vm: { vmId: 'vm' } })).rejects.toMatchObject({
      code: 'MICROVM_GUEST_UNREACHABLE',
    });
  });

  it('rejects with the signal’s own reason when it is aborted, before or during', async () => {
    const reason = new Error('enough');
    const [early] = duplexPair();
    await expect(
      AgentClient.connect(early, { vm: { vmId: 'vm' }, signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
    const [host] = duplexPair();
    const abort = new AbortController();
    const connecting = AgentClient.connect(host, { vm: { vmId: 'vm' }, signal: abort.signal });
    abort.abort(reason);
    await expect(connecting).rejects.toBe(reason);
    expect(host.destroyed).toBe(true);
  });

  it('says which versions the agent speaks when there is none in common', async () => {
    const [host, guest] = duplexPair();
    const connecting = AgentClient.connect(host, { vm: { vmId: 'vm' } });
    guest.write(answer(await nextHello(guest), { version: 0, lowestVersion: 3, highestVersion: 5 }));
    await expect(connecting).rejects.toMatchObject({
      code: 'MICROVM_GUEST_UNREACHABLE',
      details: { reason: 'the agent speaks protocol 3 to 5, this client 1 to 2' },
    });
  });

  it('takes a session over from an older client, whose calls then reject', async () => {
    const agent = new ScriptedAgent({
      exec: ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', reject)),
    });
    const older = await connectTo(agent);
    const running = older.exec({ argv: ['forever'] });
    const outcome = expect(running.result).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    const newer = await connectTo(agent);
    await outcome;
    await older.closed;
    await expect(older.ping()).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    expect(await newer.ping()).toMatchObject({ agentVersion: 'scripted' });
    newer.close();
  });
});

describe('the scanner', () => {
  it('finds its needle across chunks of any size', () => {
    const needle = Buffer.from('needle-needle-x');
    fc.assert(
      fc.property(fc.string({ maxLength: 30 }), fc.integer({ min: 1, max: 9 }), (before, size) => {
        const whole = Buffer.concat([Buffer.from(`${before}needle-`), needle, Buffer.from('after')]);
        const scanner = new Scanner(needle);
        let rest: Buffer | undefined;
        for (let at = 0; at < whole.length; at += size) {
          const chunk = whole.subarray(at, at + size);
          rest = rest === undefined ? scanner.push(chunk) : Buffer.concat([rest, chunk]);
        }
        expect(rest?.toString()).toBe('after');
      }),
    );
  });
});
