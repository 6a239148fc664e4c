import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect as dial, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { GuestListener } from '@microvm/runtime';
import { AgentClient } from '../src/client.js';
import { RealAgent, whyNoNamespaces } from './real-agent.js';

const problem = whyNoNamespaces();
if (problem !== undefined) console.warn(`SKIPPED: the real agent's listeners: ${problem}`);

/** How many connections wait at the agent. */
const AT_AGENT = 16;

let agent: RealAgent;
let client: AgentClient;
let dir: string;
let path: string;

const connect = (): Promise<AgentClient> =>
  AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });

async function next(listener: GuestListener): Promise<Duplex> {
  const { value } = (await listener[Symbol.asyncIterator]().next()) as { value: Duplex };
  return value;
}

/** The agent has the files of this process: a unix socket of its guest is one of a test. */
describe.skipIf(problem !== undefined)('a listener by the real agent', () => {
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'microvm-listen-'));
    path = join(dir, 'socket');
    agent = new RealAgent();
    client = await connect();
  });

  afterEach(async () => {
    client.close();
    await agent.stop();
    rmSync(dir, { recursive: true });
  });

  it('makes its file with the mode that was asked for, and removes it at its end', async () => {
    const listener = await client.listen({ path }, { mode: 0o640 });
    expect(statSync(path).mode & 0o7777).toBe(0o640);
    await listener.close();
    await client.ping();
    expect(existsSync(path)).toBe(false);
  });

  it('leaves a file alone that has taken the place of its own', async () => {
    const listener = await client.listen({ path });
    rmSync(path);
    writeFileSync(path, 'of somebody else');
    await listener.close();
    await client.ping();
    expect(existsSync(path)).toBe(true);
  });

  it('is refused by the errno of what is in the way', async () => {
    writeFileSync(path, '');
    await expect(client.listen({ path })).rejects.toMatchObject({
      code: 'MICROVM_CONNECT_FAILED',
      details: { vmId: 'real', errno: 'EADDRINUSE' },
    });
    await expect(client.listen({ path: join(dir, 'no', 'socket') })).rejects.toMatchObject({
      details: { errno: 'ENOENT' },
    });
  });

  it('carries a MiB both ways', async () => {
    const listener = await client.listen({ path });
    const program = dial(path);
    const socket = await next(listener);
    program.end(Buffer.alloc(1 << 20, 'p'));
    socket.end(Buffer.alloc(1 << 20, 'h'));
    const sizeOf = async (stream: Duplex): Promise<number> => {
      let size = 0;
      stream.on('data', (data: Buffer) => (size += data.length));
      await once(stream, 'end');
      return size;
    };
    expect(await Promise.all([sizeOf(socket), sizeOf(program)])).toEqual([1 << 20, 1 << 20]);
  });

  it('keeps more connections than may wait at the agent, and gives each of them', async () => {
    const listener = await client.listen({ path });
    const programs = (from: number, to: number): Socket[] =>
      Array.from({ length: to - from }, (_, index) => dial(path).end(`${from + index}.`));
    // The kernel refuses a connection to a unix socket when its queue is full, so the first ones wait at the
    // agent before the others come: it accepts what is there before it answers.
    const first = programs(0, AT_AGENT);
    await client.ping();
    const all = [...first, ...programs(AT_AGENT, AT_AGENT + 8)];
    for (const program of all) program.on('error', () => undefined);
    let said = '';
    for (let left = all.length; left > 0; left--) {
      const socket = await next(listener);
      socket.on('data', (data: Buffer) => (said += data.toString()));
      await once(socket, 'end');
      socket.destroy();
    }
    expect(
      said
        .split('.')
        .filter(Boolean)
        .map(Number)
        .toSorted((a, b) => a - b),
    ).toEqual([...all.keys()]);
  });

  it('ends with its session: what waits is reset, and the place is free', async () => {
    const listener = await client.listen({ path });
    const program = dial(path);
    await once(program, 'connect');
    // By a reset or by an end: the socket closes either way.
    program.on('error', () => undefined).resume();
    const ended = new Promise((resolve) => program.once('close', resolve));
    client.close();
    await expect(next(listener)).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    client = await connect();
    await ended;
    const again = await client.listen({ path });
    dial(path).end('again');
    const socket = await next(again);
    const [data] = (await once(socket, 'data')) as [Buffer];
    expect(data.toString()).toBe('again');
    socket.destroy();
  });
});
