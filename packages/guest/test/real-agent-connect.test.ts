import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentClient } from '../src/client.js';
import { readAll } from './read-all.js';
import { RealAgent, whyNoNamespaces } from './real-agent.js';

const problem = whyNoNamespaces();
if (problem !== undefined) console.warn(`SKIPPED: the real agent's connections: ${problem}`);

let agent: RealAgent;
let client: AgentClient;
let dir: string;
let path: string;
let server: Server;

/** The agent has the files of this process: a unix socket of a test is one of its guest. */
async function serve(onSocket: (socket: Socket) => void): Promise<void> {
  server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.on('error', () => undefined);
    onSocket(socket);
  });
  server.listen(path);
  await once(server, 'listening');
}

describe.skipIf(problem !== undefined)('a connection by the real agent', () => {
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'microvm-connect-'));
    path = join(dir, 'socket');
    agent = new RealAgent();
    client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
  });

  afterEach(async () => {
    client.close();
    await agent.stop();
    server?.close();
    rmSync(dir, { recursive: true });
  });

  it('carries 16 MiB both ways at once, and each direction has its own end', async () => {
    await serve((socket) => socket.pipe(socket));
    const socket = await client.connect({ path });
    const [sent, received] = [createHash('sha256'), createHash('sha256')];
    const writing = (async () => {
      for (let piece = 0; piece < 256; piece++) {
        const data = randomBytes(65_536);
        sent.update(data);
        if (!socket.write(data)) await once(socket, 'drain');
      }
      socket.end();
    })();
    for await (const data of socket as AsyncIterable<Buffer>) received.update(data);
    await writing;
    expect(received.digest('hex')).toBe(sent.digest('hex'));
  });

  it('sends on when the other end has sent its end', async () => {
    const seen = new Promise<string>((resolve) => {
      void serve((socket) => {
        socket.end('first');
        resolve(readAll(socket));
      });
    });
    await expect.poll(() => server?.listening).toBe(true);
    const socket = await client.connect({ path });
    expect(await readAll(socket)).toBe('first');
    const closed = once(socket, 'close');
    socket.end('late');
    expect(await seen).toBe('late');
    await closed;
  });

  it('tells an end that came together with the last bytes', async () => {
    await serve((socket) => socket.end('last').resume());
    for (let turn = 0; turn < 100; turn++) {
      const socket = await client.connect({ path });
      expect(await readAll(socket)).toBe('last');
      socket.end();
    }
  });

  it('holds both ends up while the other one does not read', async () => {
    let written = 0;
    await serve((socket) => {
      const more = (): void => {
        while (written < 64 << 20 && socket.write(Buffer.alloc(65_536))) written += 65_536;
      };
      socket.on('drain', more).on('error', () => undefined);
      more();
    });
    const socket = await client.connect({ path });
    for (let ping = 0; ping < 20; ping++) await client.ping();
    expect(written).toBeLessThan(4 << 20);
    let sent = 0;
    while (socket.write(Buffer.alloc(65_536)) && sent < 100) sent += 1;
    expect(sent).toBeLessThan(100);
    socket.destroy();
    await expect
      .poll(() => new Promise((resolve) => server.getConnections((_, count) => resolve(count))))
      .toBe(0);
  });

  it('is destroyed with ECONNRESET when the other end breaks off', async () => {
    let other: Socket | undefined;
    await serve((socket) => (other = socket));
    const socket = await client.connect({ path });
    await expect.poll(() => other).toBeDefined();
    const failure = once(socket, 'error');
    socket.write('unread');
    socket.resume();
    // The agent has written it by then. Closed with bytes that nobody has read: a unix socket's reset.
    await client.ping();
    other?.destroy();
    expect(await failure).toMatchObject([{ code: 'ECONNRESET' }]);
  });

  it('goes to TCP ports of the guest, and tells what refuses', async () => {
    const refused = async (target: Parameters<AgentClient['connect']>[0]): Promise<unknown> =>
      client.connect(target).catch((error: unknown) => error);
    expect(await refused({ path: join(dir, 'nobody') })).toMatchObject({
      code: 'MICROVM_CONNECT_FAILED',
      details: { errno: 'ENOENT', target: `"${join(dir, 'nobody')}"` },
    });
    await client.exec({ argv: ['ip', 'link', 'set', 'lo', 'up'] }).result;
    expect(await refused({ port: 9 })).toMatchObject({
      details: { errno: 'ECONNREFUSED', target: '127.0.0.1:9' },
    });
    const script =
      "require('net').createServer({ allowHalfOpen: true }, (s) => s.pipe(s)).listen(8080, '::', () => console.log('up'))";
    const echoing = client.exec({ argv: ['node', '-e', script] });
    for await (const { data } of echoing) if (data.toString().includes('up')) break;
    for (const host of ['127.0.0.1', '::1']) {
      const socket = await client.connect({ port: 8080, host });
      socket.end('echoed');
      expect(await readAll(socket)).toBe('echoed');
    }
    await using forward = await client.forward({ guestPort: 8080 });
    expect(forward.port).toBeGreaterThan(0);
    await echoing.kill('SIGKILL');
  });

  it('is closed in the guest when its session is over', async () => {
    const closed = new Promise((resolve) => {
      void serve((socket) =>
        socket
          .on('end', resolve)
          .on('error', () => undefined)
          .resume(),
      );
    });
    await expect.poll(() => server?.listening).toBe(true);
    const socket = await client.connect({ path });
    socket.on('error', () => undefined);
    agent.port.unplug();
    client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
    await closed;
  });
});
