import { once } from 'node:events';
import { isVmRuntimeError } from '@microvm/runtime';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AgentClient } from '../../src/client.js';
import { TURN_LIMITS } from '../../src/frame-reader.js';
import { MAX_QUEUED_BYTES } from '../../src/frame-writer.js';
import { HEADER_SIZE, MAX_PAYLOAD } from '../../src/protocol.js';
import { HostileAgent } from './hostile-agent.js';
import type { Mode } from './modes.js';
import { openSockets, Watch } from './watch.js';

const MOST_HELD_BYTES = 64 << 20;
/** With lists, gaps and offsets that lie. */
const MOST_OF_COMMANDS_BYTES = 8 << 20;
const MOST_BYSTANDER_TURNS = 10;
const CONTROL = /[\p{Cc}\p{Cf}]/u;

let agent: HostileAgent;
let watch: Watch;
let socketsBefore: number;

beforeAll(async () => {
  agent = await HostileAgent.start();
});
afterAll(() => agent.stop());

beforeEach(async () => {
  socketsBefore = openSockets();
  watch = await Watch.begin();
});

/**
 * Whatever the mode: little is held, a turn is short, nothing is left open, and a bystander notices nothing.
 */
afterEach(async () => {
  const cost = await watch.end();
  expect(cost.heldBytes).toBeLessThan(MOST_HELD_BYTES);
  expect(cost.framesInATurn).toBeLessThanOrEqual(TURN_LIMITS.frames);
  expect(cost.bytesInATurn).toBeLessThan(TURN_LIMITS.bytes + HEADER_SIZE + MAX_PAYLOAD);
  expect(cost.bystanderTurns).toBeLessThanOrEqual(MOST_BYSTANDER_TURNS);
  expect(cost.bystanderAnswers).toBeGreaterThan(0);
  expect(openSockets()).toBe(socketsBefore);
});

/** Runs a session with an agent of this mode, and waits until its socket is gone. */
async function inSession(mode: Mode, act: (client: AgentClient) => Promise<void>): Promise<void> {
  const socket = await agent.dial(mode);
  const closed = once(socket, 'close');
  const client = watch.add(await AgentClient.connect(socket, { vm: { vmId: 'vm' }, timeoutMs: 10_000 }));
  await act(client);
  watch.look();
  client.close();
  await closed;
}

async function reject(call: Promise<unknown>): Promise<Error> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(isVmRuntimeError(error)).toBe(true);
  return error as Error;
}

async function turnsUntil(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise(setImmediate);
}

describe('a hostile agent', () => {
  it.each<[Mode, RegExp]>([
    ['farewell-flood', /a second farewell/],
    ['old-epoch-flood', /an epoch that is over/],
    ['ended-stream-flood', /a stream that is over/],
    ['started-flood', /comes twice/],
    ['second-error-flood', /a stream that is over/],
    ['old-protocol-flood', /data without credit/],
    ['stdin-gone-flood', /comes twice/],
    ['credit-flood', /credit for nothing/],
    ['answers-to-nobody', /never opened/],
    ['future-epoch', /was not begun by a thaw/],
    ['data-without-credit', /data without credit/],
    ['empty-data', /data without credit/],
    ['endless-tiny-output', /data without credit/],
    ['noise-after-hello', /bad magic/],
    ['endless-frame', /frame of 4294967295 bytes/],
    ['end-before-opened', /frame type 150 of a stream/],
    ['end-of-nobody', /never opened/],
    ['control-text-in-reset', /it reset the session: looks fine\\x1b/],
    ['control-text-in-failure', /a stream that is over/],
    ['detached-unasked', /was detached that did not ask for it/],
  ])('is cut off with a typed error in mode %s', async (mode, reason) => {
    await inSession(mode, async (client) => {
      // Nobody reads the command's output.
      const command = client.exec({ argv: ['x'] });
      await client.closed;
      if (mode === 'control-text-in-failure')
        expect((await reject(command.result)).message).not.toMatch(CONTROL);
      const error = await reject(client.ping());
      expect(error).toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
      expect(error.message).toMatch(reason);
      expect(error.message).not.toMatch(CONTROL);
    });
  });

  it.each<[Mode, RegExp]>([
    ['endless-list', /a list of more than 1024 commands/],
    ['list-that-stands-still', /a list that does not go on/],
    ['list-of-4294967295', /value 65535 out of range/],
    ['list-of-less-than-nothing', /an output that begins behind its end/],
  ])('cannot keep the list of its commands from an end in mode %s', async (mode, reason) => {
    await inSession(mode, async (client) => {
      expect(await reject(client.commands())).toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
      expect((await reject(client.ping())).message).toMatch(reason);
      watch.look();
    });
    expect((await watch.end()).heldBytes).toBeLessThan(MOST_OF_COMMANDS_BYTES);
  });

  it.each<[Mode, RegExp]>([
    ['output-again', /output that came already comes again/],
    ['gap-without-end', /offset out of range/],
    ['unknown-flags', /unknown flags/],
    ['output-before-its-offset', /data that nobody has asked for/],
  ])('loses a reader that attaches with a typed error in mode %s', async (mode, reason) => {
    await inSession(mode, async (client) => {
      const process = client.attach('0123456789abcdef', { from: { stdout: 10, stderr: 0 } });
      expect(await reject(process.result)).toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
      expect((await reject(client.ping())).message).toMatch(reason);
    });
    expect((await watch.end()).heldBytes).toBeLessThan(MOST_OF_COMMANDS_BYTES);
  });

  it('that answers neither a list nor a reader is waited for as long as the call allows', async () => {
    await inSession('silent', async (client) => {
      const late = { code: 'MICROVM_TIMEOUT' };
      expect(await reject(client.commands({ timeoutMs: 20 }))).toMatchObject(late);
      expect(await reject(client.attach('0123456789abcdef', { timeoutMs: 20 }).result)).toMatchObject(late);
      const started = client.exec({ argv: ['x'], detached: true, timeoutMs: 20 });
      expect(await reject(started)).toMatchObject(late);
    });
  });

  it.each<[Mode, RegExp]>([
    ['second-end', /a channel ends twice/],
    ['data-behind-an-end', /data behind the end/],
    ['data-2-of-a-connection', /data of a channel that a connection has not/],
    ['closed-without-an-end', /was not closed is over/],
    ['end-before-opened', /before it was opened/],
    ['data-before-opened', /before it was opened/],
    ['reset-before-opened', /before it was opened/],
    ['end-of-nobody', /never opened/],
  ])('loses its connections with a typed error in mode %s', async (mode, reason) => {
    await inSession(mode, async (client) => {
      const connecting = client.connect({ port: 80 }).then(
        (socket) => new Promise<Error>((resolve) => socket.once('error', resolve)),
        (error: unknown) => error,
      );
      await client.closed;
      expect(await connecting).toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
      expect((await reject(client.ping())).message).toMatch(reason);
    });
  });

  it('cannot keep its big reads alive by tiny pieces for a reader that does not read', async () => {
    await inSession('tiny-data-in-big-reads', async (client) => {
      const unread = client.exec({ argv: ['unread'] });
      const thrownAway = client.exec({ argv: ['read'] });
      await thrownAway[Symbol.asyncIterator]().return?.();
      await thrownAway.result;
      watch.look();
      const kill = unread.kill().catch(() => undefined);
      let bytes = 0;
      for await (const { data } of unread) {
        bytes += data.length;
        if (bytes === 1300) break;
      }
      client.close();
      await kill;
    });
  });

  it.each<[Mode, number]>([
    ['endless-output', 64 << 20],
    ['endless-tiny-output', 16 << 20],
  ])(
    'that sends without end to a reader that keeps up (%s) leaves each turn to others too',
    async (mode, bytes) => {
      await inSession(mode, async (client) => {
        await client
          .exec({ argv: ['x'] })
          [Symbol.asyncIterator]()
          .return?.();
        await turnsUntil(() => client.received.bytes > bytes);
      });
    },
  );

  it('that stalls in the middle of a frame, or says nothing at all, is waited for as long as a call allows', async () => {
    for (const mode of ['half-a-frame', 'silent'] as const) {
      await inSession(mode, async (client) => {
        const error = await reject(client.exec({ argv: ['x'], timeoutMs: 20 }).result);
        expect(error).toMatchObject({ code: 'MICROVM_TIMEOUT' });
        expect(await reject(client.ping({ timeoutMs: 20 }))).toMatchObject({ code: 'MICROVM_TIMEOUT' });
      });
    }
  });

  it('that answers nothing loses its session when thousands of requests wait', async () => {
    await inSession('silent', async (client) => {
      const pings = Array.from({ length: 5_000 }, () => reject(client.ping()));
      await client.closed;
      expect((await Promise.all(pings)).at(-1)?.message).toMatch(/leaves 4096 requests unanswered/);
    });
  });

  it('that never reads keeps little of what is asked of it, and nothing of what was given up', async () => {
    await inSession('deaf', async (client) => {
      const long = 'x'.repeat(100_000);
      const argv = ['x', long, long, long, long, long] as const;
      // In batches: what is asked for at one moment is the caller's own to hold.
      for (let batch = 0; batch < 20; batch++) {
        const results = Array.from({ length: 20 }, () => reject(client.exec({ argv, timeoutMs: 20 }).result));
        for (const error of await Promise.all(results)) {
          expect(['MICROVM_TIMEOUT', 'MICROVM_GUEST_BUSY']).toContain((error as { code?: unknown }).code);
        }
        watch.look();
      }
      expect(client.queuedBytes).toBeLessThan(MAX_QUEUED_BYTES);
      expect(client.queuedBytes).toBeGreaterThan(0);
    });
  });

  it('that claims room for any input and reads none of it gets a little', async () => {
    await inSession('deaf', async (client) => {
      const inputs = Array.from({ length: 100 }, () => client.exec({ argv: ['cat'] }).stdin);
      for (const stdin of inputs) while (stdin.write(Buffer.alloc(65_536)));
      await turnsUntil(() => inputs.every((stdin) => stdin.writableNeedDrain));
      for (let turn = 0; turn < 100; turn++) await client.ping({ timeoutMs: 1 }).catch(() => undefined);
      expect(client.queuedBytes).toBeLessThan(MAX_QUEUED_BYTES);
    });
  });

  it('that never confirms the death of commands has no more of them than it may run at once', async () => {
    await inSession('undead-commands', async (client) => {
      const codes = await Promise.all(
        Array.from({ length: 400 }, async () => {
          const error = await reject(client.exec({ argv: ['x'], timeoutMs: 50 }).result);
          return (error as { code?: unknown }).code;
        }),
      );
      expect(codes.filter((code) => code === 'MICROVM_TIMEOUT')).toHaveLength(256);
      expect(codes.filter((code) => code === 'MICROVM_GUEST_BUSY')).toHaveLength(144);
    });
  });

  it.each<[Mode, RegExp]>([
    ['no-mark', /no mark/],
    ['foreign-protocol', /speaks protocol 9 to 9, this client 1 to 2/],
    ['half-a-hello', /no answer in 100 ms/],
    ['hangs-up', /the channel ended/],
  ])('is no agent in mode %s', async (mode, reason) => {
    const socket = await agent.dial(mode);
    const closed = once(socket, 'close');
    const timeoutMs = mode === 'half-a-hello' ? 100 : 30_000;
    const error = await reject(AgentClient.connect(socket, { vm: { vmId: 'vm' }, timeoutMs }));
    expect(error).toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    expect(error.message).toMatch(reason);
    expect(error.message).not.toMatch(CONTROL);
    await closed;
  });

  it('cannot bring a control character into what is shown of it', async () => {
    await inSession('control-text-in-hello', async (client) => {
      expect(client.info.kernelRelease).toMatch(/^looks fine\\x1b/);
      expect(client.info.kernelRelease).not.toMatch(CONTROL);
    });
  });

  it('that hangs up again and again leaves nothing open', async () => {
    for (let turn = 0; turn < 40; turn++) {
      await inSession('hangs-up-after-hello', async (client) => {
        await client.closed;
      });
    }
  });
});
