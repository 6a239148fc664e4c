import { duplexPair, type Duplex } from 'node:stream';
import { ScriptedAgent } from '@microvm/guest';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
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
  const channel = new AgentChannel(open, { vmId: 'a' });
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

  it('waits by the monotonic clock: a host whose wall clock jumps hangs nobody and fails nobody', async () => {
    const channel = makeChannel(() => never);
    const first = channel.connect({ timeoutMs: 60_000 });
    first.catch(() => undefined);
    const jump = vi.spyOn(Date, 'now');
    onTestFinished(() => jump.mockRestore());
    jump.mockReturnValueOnce(2_000_000_000_000).mockReturnValue(2_000_000_000_000 - 3_600_000);
    await expect(channel.connect({ timeoutMs: 30 })).rejects.toEqual(unreachable);
    jump.mockReset().mockReturnValueOnce(1_000).mockReturnValue(2_000_000_000_000);
    const guest = new Guest();
    const opening = makeChannel(async () => {
      await new Promise(setImmediate);
      return guest.dial();
    });
    expect((await Promise.all([opening.connect(), opening.connect()]))[1].epoch).toBe(1);
  });

  it('gives a guest that outlives its sessions', async () => {
    const guest = new Guest();
    const channel = makeChannel(guest.dial);
    const handle = await channel.guest();
    channel.drop();
    expect((await handle.exec({ argv: ['x'] }).result).exitCode).toBe(0);
    channel.drop();
    expect((await handle.ping()).epoch).toBe(1);
    expect(guest.opened).toBe(3);
  });

  it('rejects a command when no session can be had for it', async () => {
    const guest = new Guest();
    let isThere = true;
    const channel = makeChannel(() => (isThere ? guest.dial() : Promise.reject(new Error('nobody listens'))));
    const handle = await channel.guest();
    isThere = false;
    channel.drop();
    const error: unknown = await handle.exec({ argv: ['x'] }).result.catch((reason: unknown) => reason);
    expect(error).toEqual(unreachable);
    expect((error as Error).message).toMatch(/nobody listens/);
  });

  it('keeps commands for the session after a hold, although the one before was dropped', async () => {
    const guest = new Guest();
    const channel = makeChannel(guest.dial);
    await channel.connect();
    channel.hold();
    const early = (await channel.guest()).exec({ argv: ['x'] });
    channel.drop();
    const late = (await channel.guest()).exec({ argv: ['x'] });
    const given = (await channel.guest()).exec({ argv: ['x'], timeoutMs: 10 });
    await expect(given.result).rejects.toMatchObject({ code: 'MICROVM_GUEST_BUSY', retryable: true });
    expect(guest.opened).toBe(1);
    channel.release();
    expect((await early.result).exitCode).toBe(0);
    expect((await late.result).exitCode).toBe(0);
    expect(guest.opened).toBe(2);
  });

  it('fails what is held when it is closed', async () => {
    const channel = makeChannel(new Guest().dial);
    const handle = await channel.guest();
    channel.hold();
    const held = handle.exec({ argv: ['x'] });
    channel.close();
    await expect(held.result).rejects.toEqual(unreachable);
    await expect(handle.exec({ argv: ['x'] }).result).rejects.toEqual(unreachable);
  });
});
