import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { AgentChannel } from '../src/guest/agent-channel.js';
import { askToShutDown } from '../src/guest/ask-to-shut-down.js';
import { freezeWorkload } from '../src/guest/workload.js';
import { makeVm } from './vm.js';

// The guest package's test program: docs of its modes are there.
const PROGRAM = fileURLToPath(new URL('../../guest/test/hostile/program.ts', import.meta.url));
const unreachable = { code: 'MICROVM_GUEST_UNREACHABLE' };
const { signal } = new AbortController();

let program: ChildProcess;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'microvm-hostile-'));
  program = fork(PROGRAM, [folder], { execArgv: ['--conditions=@microvm/source', '--import', 'tsx'] });
  await once(program, 'message');
});
afterAll(async () => {
  const exited = once(program, 'exit');
  program.disconnect();
  await exited;
  await rm(folder, { recursive: true });
});

/** A channel to an agent of this mode, and the sockets that it opened. */
function channelTo(mode: string): { readonly channel: AgentChannel; readonly sockets: Socket[] } {
  const sockets: Socket[] = [];
  const channel = new AgentChannel(
    async () => {
      const socket = connect(join(folder, `${mode}.sock`));
      sockets.push(socket);
      await once(socket, 'connect');
      return socket;
    },
    { vmId: 'vm' },
  );
  onTestFinished(() => channel.close());
  return { channel, sockets };
}

describe('the session with a hostile agent', () => {
  it.each(['half-a-hello', 'hangs-up'])(
    'is not had in mode %s: the caller learns of it within its limits, and no socket is left',
    async (mode) => {
      const { channel, sockets } = channelTo(mode);
      await expect(channel.connect({ timeoutMs: 100 })).rejects.toMatchObject(unreachable);
      expect(sockets.length).toBeGreaterThan(0);
      for (const socket of sockets) expect(socket.destroyed).toBe(true);
    },
  );

  it.each(['old-epoch-flood', 'started-flood', 'noise-after-hello'])(
    'that was cut off in mode %s is followed by another one for the next caller',
    async (mode) => {
      const { channel, sockets } = channelTo(mode);
      const guest = await channel.guest();
      for (let session = 1; session <= 3; session++) {
        await expect(guest.exec({ argv: ['x'] }).result).rejects.toMatchObject(unreachable);
        expect(sockets).toHaveLength(session);
      }
    },
  );

  it('ends with a farewell that is true once: the second one does not count', async () => {
    const { channel } = channelTo('farewell-flood');
    const guest = await channel.guest();
    await expect(guest.exec({ argv: ['x'] }).result).rejects.toMatchObject(unreachable);
    expect(await channel.farewell()).toBe('panic');
  });

  it('that answers nothing holds up neither a pause nor a shutdown for longer than they wait', async () => {
    const vm = makeVm({ shutdownTimeoutMs: 100 });
    expect(await askToShutDown(channelTo('silent').channel, { vm, signal })).toBe(false);
    expect(await freezeWorkload(channelTo('silent').channel, signal)).toBeUndefined();
  });
});
