import { ConnectionClosedError, RequestRefusedError, RequestTimeoutError } from '@microvm/driver-kit';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { QmpClient } from '../src/qmp/client.js';
import type { QmpEvent } from '../src/qmp/wire.js';
import { QmpServer } from './qmp-server.js';

const never = new Promise<never>(() => {});
let server: QmpServer | undefined;
afterEach(async () => {
  await server?.stop();
  server = undefined;
});

interface Settings {
  readonly handle?: Parameters<typeof QmpServer.start>[0];
  readonly greeting?: string;
  readonly exited?: Promise<unknown>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

async function connect(settings: Settings = {}): Promise<{ client: QmpClient; events: QmpEvent[] }> {
  const { handle = () => undefined, greeting, exited = never, timeoutMs = 5000, signal } = settings;
  server = await QmpServer.start(handle, greeting);
  const events: QmpEvent[] = [];
  const client = await QmpClient.connect({
    path: server.path,
    exited,
    timeoutMs,
    onEvent: (event) => events.push(event),
    ...(signal === undefined ? {} : { signal }),
  });
  onTestFinished(() => client.close());
  return { client, events };
}

describe('QmpClient', () => {
  it('reads the version from the greeting', async () => {
    const { client } = await connect();
    expect(client.version).toBe('7.2.22');
  });

  it('matches answers to commands by id, whatever their order', async () => {
    const held: (() => void)[] = [];
    const { client } = await connect({
      handle: ({ execute, id }) => {
        held.push(() => server?.send(`${JSON.stringify({ return: execute, id })}\n`));
        if (held.length === 3) for (const answer of held.reverse()) answer();
        return undefined;
      },
    });
    const calls = ['one', 'two', 'three'].map((name) => client.execute(name));
    expect(await Promise.all(calls)).toEqual(['one', 'two', 'three']);
  });

  it('rejects a refused command with the words of QEMU', async () => {
    const { client } = await connect({ handle: () => new Error('no such device') });
    const refused = await client.execute('device_del').catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(RequestRefusedError);
    expect(refused).toMatchObject({
      request: 'device_del',
      status: 'GenericError',
      faultMessage: 'no such device',
    });
  });

  it('shows and cuts what a VMM that is not QEMU says in a refusal', async () => {
    const { client } = await connect({ handle: () => new Error(`\u001b[2J${'x'.repeat(60_000)}`) });
    const refused = await client.execute('device_del').catch((error: unknown) => error);
    expect((refused as RequestRefusedError).faultMessage).toMatch(/^\\x1b\[2Jx+…$/);
    expect((refused as RequestRefusedError).message.length).toBeLessThan(2200);
  });

  it('passes events on as they come, also between question and answer', async () => {
    const { client, events } = await connect({
      handle: () => {
        server?.send('{"event":"STOP","timestamp":{}}\r\n{"event":"SHUTDOWN","data":{"guest":true}}\r\n');
        return {};
      },
    });
    await client.execute('stop');
    expect(events).toEqual([
      { name: 'STOP', data: {} },
      { name: 'SHUTDOWN', data: { guest: true } },
    ]);
  });

  it('ends a command that is not answered by its deadline, and takes later answers of others', async () => {
    const { client } = await connect({ handle: ({ execute }) => (execute === 'hang' ? undefined : 'fine') });
    const hung = await client.execute('hang', {}, { timeoutMs: 20 }).catch((error: unknown) => error);
    expect(hung).toBeInstanceOf(RequestTimeoutError);
    expect(hung).toMatchObject({ request: 'hang', timeoutMs: 20 });
    expect(await client.execute('query-status')).toBe('fine');
  });

  it('gives up on a monitor that sends no greeting', async () => {
    await expect(connect({ greeting: '', timeoutMs: 20 })).rejects.toBeInstanceOf(RequestTimeoutError);
  });

  it('fails what is in flight when the process ends though the socket stays open', async () => {
    let die = () => {};
    const exited = new Promise<void>((resolve) => (die = resolve));
    const { client } = await connect({ exited });
    const call = client.execute('query-status');
    die();
    await expect(call).rejects.toBeInstanceOf(ConnectionClosedError);
    await expect(client.execute('query-status')).rejects.toBeInstanceOf(ConnectionClosedError);
  });

  it('fails what is in flight when the peer hangs up', async () => {
    const { client } = await connect({ handle: () => void server?.hangUp() });
    await expect(client.execute('quit')).rejects.toBeInstanceOf(ConnectionClosedError);
    expect(client.isClosed).toBe(true);
  });

  it.each([
    ['garbage', '%%%\n'],
    ['JSON that is no message', '{"hello":1}\n'],
    ['a line without end', 'x'.repeat(5 * 1024 * 1024)],
  ])('closes on %s', async (_what, text) => {
    const { client } = await connect({ handle: () => void server?.send(text) });
    await expect(client.execute('query-status')).rejects.toThrow('broke the protocol');
  });

  it("rejects with the signal's own reason", async () => {
    const { client } = await connect();
    const stop = new AbortController();
    const call = client.execute('query-status', {}, { signal: stop.signal });
    const reason = new Error('the caller left');
    stop.abort(reason);
    await expect(call).rejects.toBe(reason);
  });

  it('does not send a command whose signal was aborted before', async () => {
    const seen: string[] = [];
    const { client } = await connect({ handle: ({ execute }) => seen.push(execute) });
    const aborted = client.execute('system_reset', {}, { signal: AbortSignal.abort(new Error('no')) });
    await expect(aborted).rejects.toThrow('no');
    await client.execute('query-status');
    expect(seen).toEqual(['query-status']);
  });

  it('sends descriptors in their place among the commands', async () => {
    const order: string[] = [];
    const { client } = await connect({ handle: ({ execute }) => order.push(execute) });
    const folder = await mkdtemp(join(tmpdir(), 'qmp-fd-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = await open(join(folder, 'state'), 'w');
    onTestFinished(() => file.close());
    const padding = 'x'.repeat(300_000);
    const first = client.execute('first', { padding });
    const second = client.execute('getfd', { fdname: 'a' }, { fds: [file.fd] });
    await Promise.all([first, second, client.execute('last')]);
    expect(order).toEqual(['first', 'getfd', 'last']);
    await file.write('still open here');
    expect(await readFile(join(folder, 'state'), 'utf8')).toBe('still open here');
  });
});
