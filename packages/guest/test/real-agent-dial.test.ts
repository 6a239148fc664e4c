import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentClient } from '../src/client.js';
import { DiallingAgent, whyNoNamespaces } from './real-agent.js';

const problem = whyNoNamespaces();
if (problem !== undefined) console.warn(`SKIPPED: the tests of the dialling agent: ${problem}`);

let dir: string;
let socketPath: string;
let dialPath: string;
let agent: DiallingAgent | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'microvm-agent-'));
  socketPath = join(dir, 'agent');
  dialPath = join(dir, 'host');
});

afterEach(async () => {
  await agent?.stop();
  agent = undefined;
  rmSync(dir, { recursive: true });
});

const shakeHands = (stream: Socket): Promise<AgentClient> =>
  AgentClient.connect(stream, { vm: { vmId: 'real' }, timeoutMs: 600_000 });

async function waitForDial(): Promise<Socket> {
  const server: Server = createServer();
  server.listen(dialPath);
  await once(server, 'listening');
  agent = new DiallingAgent(socketPath, dialPath);
  const [socket] = (await once(server, 'connection')) as [Socket];
  server.close();
  return socket;
}

/** Dials until the agent accepts: its socket is there a moment before the agent listens. */
async function dial(): Promise<Socket> {
  for (;;) {
    const socket = createConnection(socketPath);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ECONNREFUSED' && code !== 'ENOENT') throw error;
    }
  }
}

describe.skipIf(problem !== undefined)('the real agent, dialling', () => {
  it('calls the host that waits for it, and that connection is the channel', async () => {
    const client = await shakeHands(await waitForDial());
    const { stdout } = await client.exec({ argv: ['echo', 'hello'] }).result;
    expect(stdout.toString()).toBe('hello\n');
    client.close();
  });

  it('goes on listening where nobody waits', async () => {
    agent = new DiallingAgent(socketPath, dialPath);
    const client = await shakeHands(await dial());
    expect(await client.ping()).toMatchObject({ epoch: 1 });
    client.close();
  });

  it('takes a newer connection of the host in place of the one that it dialled', async () => {
    const first = await shakeHands(await waitForDial());
    const second = await shakeHands(await dial());
    await first.closed;
    expect(await second.ping()).toMatchObject({ epoch: 1 });
    second.close();
  });

  it('is there for the host’s next connection after the dialled one ended', async () => {
    const first = await shakeHands(await waitForDial());
    first.close();
    await first.closed;
    const second = await shakeHands(await dial());
    expect(await second.ping()).toMatchObject({ epoch: 1 });
    second.close();
  });
});
