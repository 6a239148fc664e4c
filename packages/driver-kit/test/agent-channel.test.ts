import { duplexPair, type Duplex } from 'node:stream';
import { ScriptedAgent } from '@microvm/guest';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AgentChannel, type OpenStream } from '../src/guest/agent-channel.js';

const unreachable = expect.objectContaining({ code: 'MICROVM_GUEST_UNREACHABLE' }) as unknown;
const never = new Promise<never>(() => {});

/** A guest; each stream that is opened to it takes the place of the one before. */
class Guest {
  readonly agent = new ScriptedAgent({ exec: () => 0 });
  opened = 0;

  readonly dial = async (): Promise<Duplex> => {
    this.opened += 1;
    const [host, guest] = duplexPair();
    this.agent.serve(guest);
    return host;
  };
}

function makeChannel(open: OpenStream): AgentChannel {
  const channel = new AgentChannel(open, 'a');
  onTestFinished(() => channel.close());
  return channel;
}

describe('AgentChannel', () => {
  it('opens one stream for all that ask, at once or later', async () => {
    const guest = new Guest();
    const channel = makeChannel(guest.dial);
    const [first, second] = await Promise.all([channel.connect(), channel.connect()]);
    expect(second).toBe(first);
    expect(await channel.connect()).toBe(first);
    expect(guest.opened).toBe(1);
  });

  it('opens another one when the session has ended', async () => {
    const guest = new Guest();
    const channel = makeChannel(guest.dial);
    const first = await channel.connect();
    guest.agent.close();
    await first.closed;
    const second = await channel.connect();
    expect(second).not.toBe(first);
    expect((await second.ping()).isFrozen).toBe(false);
  });

  it('opens another one when the agent cut the first for a newer connection', async () => {
    const guest = new Guest();
    let isFirst = true;
    const channel = makeChannel(async () => {
      const stream = await guest.dial();
      // The newer one is nobody's: a dial that was made again and lost.
      if (isFirst) stream.push(null);
      isFirst = false;
      return stream;
    });
    expect((await channel.connect()).epoch).toBe(1);
    expect(guest.opened).toBe(2);
  });

  it('opens another one after the session was dropped', async () => {
    const guest = new Guest();
    const channel = makeChannel(guest.dial);
    const first = await channel.connect();
    channel.drop();
    const second = await channel.connect();
    expect(second).not.toBe(first);
    expect((await second.ping()).isFrozen).toBe(false);
  });

  it('tries by its own limits when the attempt of another failed', async () => {
    const guest = new Guest();
    let fail: (error: Error) => void = () => {};
    const failing = new Promise<Duplex>((_resolve, reject) => (fail = reject));
    let attempts = 0;
    const channel = makeChannel(() => ((attempts += 1) === 1 ? failing : guest.dial()));
    const first = channel.connect();
    const second = channel.connect();
    fail(new Error('nobody listens'));
    await expect(first).rejects.toThrow('nobody listens');
    expect((await second).epoch).toBe(1);
    expect(attempts).toBe(2);
  });

  it('waits for the attempt of another no longer than its own limits', async () => {
    const channel = makeChannel(() => never);
    channel.connect().catch(() => undefined);
    await expect(channel.connect({ timeoutMs: 20 })).rejects.toEqual(unreachable);
    const stop = new AbortController();
    const aborted = channel.connect({ signal: stop.signal });
    stop.abort(new Error('the caller left'));
    await expect(aborted).rejects.toThrow('the caller left');
  });

  it('tells how long the opening may take, and gives the handshake what is left', async () => {
    const seen: number[] = [];
    const [host] = duplexPair();
    const channel = makeChannel(async ({ timeoutMs }) => {
      seen.push(timeoutMs);
      return host;
    });
    await expect(channel.connect({ timeoutMs: 50 })).rejects.toEqual(unreachable);
    expect(seen).toEqual([50]);
    expect(host.destroyed).toBe(true);
  });

  it('takes a stream that came for its session, and ends the one that it had', async () => {
    const [dialled, came] = [new Guest(), new Guest()];
    const channel = makeChannel(dialled.dial);
    const before = await channel.connect();
    const adopted = await channel.adopt(await came.dial());
    await before.closed;
    expect(await channel.connect()).toBe(adopted);
    expect((await adopted.ping()).epoch).toBe(1);
    expect(dialled.opened).toBe(1);
  });

  it('lets those that ask wait for a stream that is being adopted', async () => {
    const guest = new Guest();
    const channel = makeChannel(() => Promise.reject(new Error('it dials, not we')));
    const adopting = channel.adopt(await guest.dial());
    expect(await channel.connect()).toBe(await adopting);
  });

  it('opens none once it is closed, and ends its session', async () => {
    const guest = new Guest();
    const channel = makeChannel(guest.dial);
    const client = await channel.connect();
    channel.close();
    await client.closed;
    await expect(channel.connect()).rejects.toEqual(unreachable);
    const late = await new Guest().dial();
    await expect(channel.adopt(late)).rejects.toEqual(unreachable);
    expect(late.destroyed).toBe(true);
    expect(guest.opened).toBe(1);
  });
});
