import { once } from 'node:events';
import { connect as dial } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { ConnectTarget } from '@microvm/runtime';
import { ScriptedAgent } from '../src/scripted-agent.js';
import { ScriptedErrno } from '../src/scripted-command.js';
import type { ScriptedServer } from '../src/scripted-socket.js';
import { readAll } from './read-all.js';
import { connectTo, scriptedGuest } from './scripted-guest.js';

/** A guest with one server on port 80, and what was asked for. */
async function serving(serve: ScriptedServer) {
  const targets: ConnectTarget[] = [];
  const guest = await scriptedGuest({
    serverAt: (target) => {
      targets.push(target);
      return 'port' in target && target.port === 80 ? serve : undefined;
    },
  });
  return { ...guest, targets };
}

const echo: ScriptedServer = async ({ input, write }) => {
  for await (const data of input) await write(data);
};
const hold: ScriptedServer = ({ signal }) =>
  new Promise((_, reject) => signal.addEventListener('abort', reject));

describe('a connection to the guest', () => {
  it('carries bytes both ways, and each direction has its own end', async () => {
    const { client } = await serving(async ({ input, write }) => {
      let asked = '';
      for await (const data of input) asked += data.toString();
      await write(`behind the end of ${asked}`);
    });
    const socket = await client.connect({ port: 80 });
    socket.end('question');
    expect(await readAll(socket)).toBe('behind the end of question');
    client.close();
  });

  it('can be written to when the guest has sent its end', async () => {
    let seen = '';
    const { client } = await serving(async ({ input }) => {
      void (async () => {
        for await (const data of input) seen += data.toString();
      })();
    });
    const socket = await client.connect({ port: 80 });
    expect(await readAll(socket)).toBe('');
    socket.end('late');
    await expect.poll(() => seen).toBe('late');
    client.close();
  });

  it.each<[ConnectTarget, ConnectTarget]>([
    [{ port: 80 }, { port: 80, host: '127.0.0.1' }],
    [
      { port: 81, host: 'localhost' },
      { port: 81, host: '127.0.0.1' },
    ],
    [
      { port: 82, host: '::1' },
      { port: 82, host: '::1' },
    ],
    [{ path: '/run/a.sock' }, { path: '/run/a.sock' }],
    [{ vsockPort: 5000 }, { vsockPort: 5000 }],
  ])('goes to %j', async (target, asked) => {
    const { client, targets } = await serving(echo);
    const outcome = await client.connect(target).catch((error: unknown) => error);
    expect(targets).toEqual([asked]);
    if (outcome instanceof Duplex) outcome.destroy();
    else {
      const errno = 'path' in target ? 'ENOENT' : 'ECONNREFUSED';
      expect(outcome).toMatchObject({ code: 'MICROVM_CONNECT_FAILED', details: { errno } });
    }
    client.close();
  });

  it.each<[string, unknown]>([
    ['target', {}],
    ['target', 5],
    ['target', { port: 80, path: '/a' }],
    ['port', { port: 0 }],
    ['port', { port: 65_536 }],
    ['host', { port: 80, host: 'example.org' }],
    ['host', { port: 80, host: 'fe80::1%eth0' }],
    ['path', { path: 'relative' }],
    ['path', { path: `/${'x'.repeat(107)}` }],
    ['vsockPort', { vsockPort: -1 }],
  ])('with a wrong %s is refused: %j', async (path, target) => {
    const { client, targets } = await serving(echo);
    await expect(client.connect(target as ConnectTarget)).rejects.toMatchObject({
      code: 'MICROVM_INVALID_ARGUMENT',
      details: { path },
    });
    expect(targets).toEqual([]);
    client.close();
  });

  it('that the guest resets is destroyed with ECONNRESET, and one that the host destroys is reset', async () => {
    let isReset = false;
    const { client } = await serving(async (socket) => {
      for await (const data of socket.input)
        if (data.toString() === 'reset') throw new ScriptedErrno('ECONNRESET');
      socket.signal.addEventListener('abort', () => (isReset = true));
      await hold(socket);
    });
    const crashing = await client.connect({ port: 80 });
    const failure = once(crashing, 'error');
    crashing.write('reset');
    expect(await failure).toMatchObject([{ code: 'ECONNRESET' }]);
    const given = await client.connect({ port: 80 });
    given.end();
    await client.ping();
    given.destroy();
    await expect.poll(() => isReset).toBe(true);
    client.close();
  });

  it('is destroyed with the very error that a script of the guest throws', async () => {
    const thrown = new TypeError('a mistake in the script');
    const { client } = await serving(async ({ input }) => {
      for await (const _ of input) throw thrown;
    });
    const socket = await client.connect({ port: 80 });
    const failure = once(socket, 'error');
    socket.write('x');
    const [error] = (await failure) as unknown[];
    expect(error).toBe(thrown);
    client.close();
  });

  it('holds a fast guest up while its reader does not read, and loses nothing', async () => {
    let sent = 0;
    const { client } = await serving(async ({ write }) => {
      for (; sent < 200; sent++) await write(Buffer.alloc(10_000, sent));
    });
    const socket = await client.connect({ port: 80 });
    for (let turn = 0; turn < 20; turn++) await client.ping();
    expect(sent * 10_000).toBeLessThan(512 * 1024);
    let received = 0;
    for await (const data of socket as AsyncIterable<Buffer>) received += data.length;
    expect(received).toBe(2_000_000);
    client.close();
  });

  it('holds a fast host up while nobody in the guest reads', async () => {
    const { client } = await serving(hold);
    const socket = await client.connect({ port: 80 });
    let written = 0;
    while (socket.write(Buffer.alloc(16_384)) && written < 1000) written += 1;
    expect(written).toBeLessThan(100);
    socket.destroy();
    client.close();
  });

  it('ends with a typed error when the session does', async () => {
    const { client, agent } = await serving(hold);
    const socket = await client.connect({ port: 80 });
    const failure = once(socket, 'error');
    agent.close();
    expect(await failure).toMatchObject([{ code: 'MICROVM_GUEST_UNREACHABLE' }]);
  });

  it('ends with the same error when the session does and writes wait for the guest', async () => {
    const { client, agent } = await serving(hold);
    const socket = await client.connect({ port: 80 });
    const failure = once(socket, 'error');
    const written: unknown[] = [];
    const note = (error: unknown): void => void written.push(error);
    for (let piece = 0; piece < 8; piece++) socket.write(Buffer.alloc(65_536), note);
    socket.end();
    agent.close();
    expect(await failure).toMatchObject([{ code: 'MICROVM_GUEST_UNREACHABLE' }]);
    await expect.poll(() => written.length).toBe(8);
    expect(written.at(-1)).toBeInstanceOf(Error);
  });

  it('waits while the workload is frozen, as long as it may, and is given up by its signal', async () => {
    const { client, targets } = await serving(echo);
    await client.freeze();
    await expect(client.connect({ port: 80 }, { timeoutMs: 20 })).rejects.toMatchObject({
      code: 'MICROVM_GUEST_BUSY',
    });
    const abort = new AbortController();
    const aborted = client.connect({ port: 80 }, { signal: abort.signal });
    const reason = new Error('not needed');
    abort.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    await expect(client.connect({ port: 80 }, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(targets).toEqual([]);
    const waiting = client.connect({ port: 80 });
    await client.thaw();
    (await waiting).destroy();
    client.close();
  });

  it('is nothing that the agent of an old snapshot has', async () => {
    const client = await connectTo(new ScriptedAgent({ exec: () => 0 }, { protocol: 1 }));
    await expect(client.connect({ port: 80 })).rejects.toMatchObject({ code: 'MICROVM_UNSUPPORTED' });
    client.close();
  });
});

describe('a forwarded port', () => {
  it('hands connections on to the guest, both ways with their own ends, until it is closed', async () => {
    const { client } = await serving(echo);
    const forward = await client.forward({ guestPort: 80 });
    expect(forward.host).toBe('127.0.0.1');
    const { port } = forward;
    const sockets = Array.from({ length: 20 }, (_, index) => {
      const socket = dial({ port, allowHalfOpen: true });
      socket.end(`${index}`);
      return readAll(socket);
    });
    expect(await Promise.all(sockets)).toEqual(Array.from({ length: 20 }, (_, index) => `${index}`));
    const open: Duplex = dial(port);
    open.write('x');
    await once(open, 'data');
    const reset = once(open, 'error');
    await forward.close();
    expect(await reset).toMatchObject([{ code: 'ECONNRESET' }]);
    await forward.close();
    await expect(once(dial(port), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    client.close();
  });

  it('resets a connection that the guest refuses', async () => {
    const { client } = await serving(echo);
    const forward = await client.forward({ guestPort: 81 });
    await expect(once(dial(forward.port), 'close')).rejects.toMatchObject({ code: 'ECONNRESET' });
    await forward.close();
    client.close();
  });

  it('tells a port of the host that is taken, and wrong options', async () => {
    const { client } = await serving(echo);
    await using forward = await client.forward({ guestPath: '/run/x' });
    await expect(client.forward({ guestPort: 80, hostPort: forward.port })).rejects.toMatchObject({
      code: 'MICROVM_HOST_FAILURE',
      details: { operation: 'forward', errno: 'EADDRINUSE' },
    });
    for (const wrong of [{}, { guestPort: 80, guestPath: '/x' }, { guestPort: 80, hostPort: -1 }]) {
      await expect(client.forward(wrong)).rejects.toMatchObject({ code: 'MICROVM_INVALID_ARGUMENT' });
    }
    client.close();
  });
});
