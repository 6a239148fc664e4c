import { getEventListeners } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { isVmRuntimeError } from '@microvm/runtime';
import type { ExecRequest } from '@microvm/runtime';
import { ScriptedErrno } from '../src/scripted-command.js';
import type { ScriptedCommand } from '../src/scripted-command.js';
import type { ScriptedThaw } from '../src/scripted-agent.js';
import { connectTo, scriptedGuest } from './scripted-guest.js';

/** A command that runs until it is killed. */
const forever = ({ signal }: ScriptedCommand): Promise<number> =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => {
      resolve(0);
    });
  });

describe('a command', () => {
  it('gives its output, its exit code and what it was given', async () => {
    const seen: unknown[] = [];
    const { client } = await scriptedGuest({
      exec: async ({ argv, env, cwd, stdin, stdout, stderr }) => {
        seen.push(argv, env, cwd);
        for await (const chunk of stdin) await stdout(chunk);
        await stderr('complaint');
        return 42;
      },
    });
    const request: ExecRequest = {
      argv: ['cat', '-'],
      env: { A: '1=2' },
      cwd: '/srv',
      input: 'to be copied',
    };
    const result = await client.exec(request).result;
    expect(seen).toEqual([['cat', '-'], { A: '1=2' }, '/srv']);
    expect(result).toEqual({
      exitCode: 42,
      signal: null,
      stdout: Buffer.from('to be copied'),
      stderr: Buffer.from('complaint'),
    });
    client.close();
  });

  it('takes a megabyte of arguments, in several frames, and refuses more', async () => {
    const { client } = await scriptedGuest({
      exec: async ({ argv, stdout }) => {
        await stdout(String(argv.join('').length));
        return 0;
      },
    });
    const long = 'x'.repeat(100_000);
    const result = await client.exec({ argv: ['count', ...Array.from({ length: 10 }, () => long)] }).result;
    expect(result.stdout.toString()).toBe('1000005');
    expect(() => client.exec({ argv: ['count', ...Array.from({ length: 11 }, () => long)] })).toThrow(
      expect.objectContaining({ code: 'MICROVM_INVALID_ARGUMENT' }),
    );
    client.close();
  });

  it.each<[string, ExecRequest]>([
    ['argv', { argv: [] as unknown as [string] }],
    ['argv[0]', { argv: [''] }],
    ['argv[1]', { argv: ['a', 'b\0c'] }],
    ['argv[1]', { argv: ['a', 5 as unknown as string] }],
    ['env', { argv: ['a'], env: { 'b=c': 'd' } }],
    ['env.b', { argv: ['a'], env: { b: 'c\0' } }],
    ['cwd', { argv: ['a'], cwd: 'relative' }],
    ['maxOutputBytes', { argv: ['a'], maxOutputBytes: 0 }],
    ['timeoutMs', { argv: ['a'], timeoutMs: Number.NaN }],
    ['input', { argv: ['a'], input: 5 as unknown as string }],
    ['user', { argv: ['a'], user: '' }],
    ['user', { argv: ['a'], user: 'a:b:c' }],
    ['user', { argv: ['a'], user: ':b' }],
    ['user', { argv: ['a'], user: -1 }],
    ['user', { argv: ['a'], user: 0xffff_ffff }],
    ['user', { argv: ['a'], user: 'x'.repeat(257) }],
    ['rlimits', { argv: ['a'], rlimits: 5 as unknown as object }],
    ['rlimits.cpu', { argv: ['a'], rlimits: { cpu: 5 } as object }],
    ['rlimits.openFiles', { argv: ['a'], rlimits: { openFiles: 0 } }],
    ['rlimits.cpuSeconds', { argv: ['a'], rlimits: { cpuSeconds: 1.5 } }],
    ['pty', { argv: ['a'], pty: true as unknown as { cols: number; rows: number } }],
    ['pty.cols', { argv: ['a'], pty: { rows: 24 } as { cols: number; rows: number } }],
    ['pty.rows', { argv: ['a'], pty: { cols: 80, rows: 65_536 } }],
    ['pty.term', { argv: ['a'], pty: { cols: 80, rows: 24, term: 'x'.repeat(65) } }],
  ])('with a wrong %s is refused before anything is sent', async (path, request) => {
    const exec = vi.fn(() => 0);
    const { client } = await scriptedGuest({ exec });
    expect(() => client.exec(request)).toThrow(
      expect.objectContaining({
        code: 'MICROVM_INVALID_ARGUMENT',
        details: expect.objectContaining({ path }) as unknown,
      }),
    );
    await client.ping();
    expect(exec).not.toHaveBeenCalled();
    client.close();
  });

  it('that cannot be started rejects with EXEC_FAILED and the guest’s errno', async () => {
    const { client } = await scriptedGuest({
      exec: () => {
        throw new ScriptedErrno('EACCES');
      },
    });
    await expect(client.exec({ argv: ['secret'] }).result).rejects.toMatchObject({
      code: 'MICROVM_EXEC_FAILED',
      details: { program: 'secret', errno: 'EACCES', step: 'exec' },
    });
    client.close();
  });

  it('rejects nobody when nobody awaits it', async () => {
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    const { client, agent } = await scriptedGuest({ exec: forever });
    client.exec({ argv: ['x'] });
    client.exec({ argv: ['x'], signal: AbortSignal.abort() });
    await client.ping();
    agent.close();
    await client.closed;
    await new Promise(setImmediate);
    expect(unhandled).not.toHaveBeenCalled();
    process.off('unhandledRejection', unhandled);
  });
});

describe('output', () => {
  const flood = async ({ stdout }: ScriptedCommand, total: number): Promise<number> => {
    for (let at = 0; at < total; at += 10_000) await stdout(Buffer.alloc(10_000, at / 10_000));
    return 0;
  };

  it('waits in the guest while its reader does not read, and none of it is lost', async () => {
    let sent = 0;
    const { client } = await scriptedGuest({
      exec: async ({ stdout }) => {
        for (; sent < 400; sent++) await stdout(Buffer.alloc(10_000, sent));
        return 0;
      },
    });
    const process = client.exec({ argv: ['flood'] });
    // Round trips: all that could come has come.
    for (let turn = 0; turn < 20; turn++) await client.ping();
    const whileUnread = sent;
    expect(whileUnread * 10_000).toBeLessThanOrEqual(256 * 1024);
    let received = 0;
    for await (const { data, stream } of process) {
      expect(stream).toBe('stdout');
      for (const byte of data) if (byte !== (Math.floor(received++ / 10_000) & 0xff)) throw new Error('lost');
    }
    expect(received).toBe(4_000_000);
    expect(await process.result).toMatchObject({ exitCode: 0, stdout: Buffer.alloc(0) });
    client.close();
  });

  it('beyond the limit ends the command and rejects with OUTPUT_LIMIT; exactly the limit is fine', async () => {
    const killed = vi.fn();
    const { client } = await scriptedGuest({
      exec: (command) => {
        command.signal.addEventListener('abort', () => {
          killed(command.signal.reason);
        });
        return flood(command, Number(command.argv[1]));
      },
    });
    const exact = await client.exec({ argv: ['flood', '500000'], maxOutputBytes: 500_000 }).result;
    expect(exact.stdout.length).toBe(500_000);
    expect(killed).not.toHaveBeenCalled();
    await expect(
      client.exec({ argv: ['flood', '510000'], maxOutputBytes: 500_000 }).result,
    ).rejects.toMatchObject({
      code: 'MICROVM_OUTPUT_LIMIT',
      details: { stream: 'stdout', limitBytes: 500_000 },
      result: { stdout: { length: 500_000 } },
    });
    expect(await client.ping()).toBeDefined();
    client.close();
  });

  it('is thrown away when its reader leaves the loop, and the command goes on to its end', async () => {
    const { client } = await scriptedGuest({ exec: (command) => flood(command, 1_000_000) });
    const process = client.exec({ argv: ['flood'] });
    for await (const chunk of process) {
      expect(chunk.data.length).toBeGreaterThan(0);
      break;
    }
    expect(await process.result).toMatchObject({ exitCode: 0 });
    client.close();
  });

  it('is read once: by the result or by iterating', async () => {
    const { client } = await scriptedGuest({});
    const process = client.exec({ argv: ['x'] });
    await process.result;
    expect(() => process[Symbol.asyncIterator]()).toThrow(TypeError);
    client.close();
  });

  it('that came before the connection was lost is still delivered, then the error', async () => {
    const { client, agent } = await scriptedGuest({
      exec: async (command) => {
        await command.stdout('last words');
        return forever(command);
      },
    });
    const process = client.exec({ argv: ['x'] });
    await client.ping();
    agent.close();
    await client.closed;
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { data } of process) seen.push(data.toString());
    })();
    await expect(reading).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    expect(seen).toEqual(['last words']);
  });
});

describe('ending a command early', () => {
  it('by an abort kills it in the guest and rejects with the signal’s own reason', async () => {
    const ended = vi.fn();
    const { client } = await scriptedGuest({
      exec: async (command) => {
        await forever(command);
        ended(command.signal.reason);
        return 0;
      },
    });
    const abort = new AbortController();
    const reason = new Error('not needed any more');
    const process = client.exec({ argv: ['x'], signal: abort.signal });
    await client.ping();
    abort.abort(reason);
    await expect(process.result).rejects.toBe(reason);
    expect(ended).toHaveBeenCalledWith('SIGKILL');
    client.close();
  });

  it('by its time-out kills it and rejects with TIMEOUT', async () => {
    const { client } = await scriptedGuest({ exec: forever });
    await expect(client.exec({ argv: ['x'], timeoutMs: 20 }).result).rejects.toMatchObject({
      code: 'MICROVM_TIMEOUT',
      details: { operation: 'exec', timeoutMs: 20 },
    });
    client.close();
  });

  it('by an abort before the call starts nothing', async () => {
    const exec = vi.fn(() => 0);
    const { client } = await scriptedGuest({ exec });
    const reason = new Error('early');
    await expect(client.exec({ argv: ['x'], signal: AbortSignal.abort(reason) }).result).rejects.toBe(reason);
    await client.ping();
    expect(exec).not.toHaveBeenCalled();
    client.close();
  });

  it('by kill gives the signal in the result; killing what has ended does nothing', async () => {
    const { client } = await scriptedGuest({ exec: forever });
    const process = client.exec({ argv: ['x'] });
    await process.kill('SIGHUP');
    expect(await process.result).toMatchObject({ exitCode: null, signal: 'SIGHUP' });
    await process.kill();
    await expect(client.exec({ argv: ['x'] }).kill('SIGNONSENSE' as NodeJS.Signals)).rejects.toMatchObject({
      code: 'MICROVM_INVALID_ARGUMENT',
    });
    client.close();
  });
});

describe('freeze, thaw, clock and shutdown', () => {
  it('reach the guest with everything they carry', async () => {
    const seen: unknown[] = [];
    const { client, agent } = await scriptedGuest({
      freeze: () => void seen.push('freeze'),
      thaw: (thaw: ScriptedThaw) => void seen.push(thaw),
      setClock: (ms) => void seen.push(ms),
      shutdown: (action, graceMs) => {
        seen.push(action, graceMs);
        agent.farewell({ reason: 'shutdown', action });
        agent.close();
      },
    });
    await client.freeze();
    expect((await client.ping()).isFrozen).toBe(true);
    const entropy = Buffer.alloc(32, 7);
    const machineId = '0123456789abcdef0123456789abcdef';
    await client.thaw({ epoch: 2, wallClockMs: 1_700_000_000_123.5, entropy, hostname: 'clone', machineId });
    expect(await client.ping()).toMatchObject({ isFrozen: false, epoch: 2 });
    await client.setClock(1_800_000_000_000);
    await client.shutdown('reboot', { graceMs: 7 }).catch(() => undefined);
    expect(await client.farewell).toEqual({ reason: 'shutdown', action: 'reboot' });
    await client.closed;
    expect(seen).toEqual([
      'freeze',
      { epoch: 2, wallClockMs: 1_700_000_000_123.5, entropy, hostname: 'clone', machineId },
      1_800_000_000_000,
      'reboot',
      7,
    ]);
  });

  it('reject with AgentFailure when the guest cannot, and a failed thaw leaves it frozen', async () => {
    const { client } = await scriptedGuest({
      thaw: () => {
        throw new ScriptedErrno('EPERM');
      },
    });
    await client.freeze();
    await expect(client.thaw({ epoch: 9 })).rejects.toMatchObject({ name: 'AgentFailure', errno: 'EPERM' });
    expect(await client.ping()).toMatchObject({ isFrozen: true, epoch: 1 });
    client.close();
  });

  it('end the streams of older commands when a new epoch begins', async () => {
    const { client } = await scriptedGuest({ exec: forever });
    const process = client.exec({ argv: ['x'] });
    const outcome = expect(process.result).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    await client.freeze();
    await client.thaw({ epoch: 5 });
    await outcome;
    expect(client.epoch).toBe(5);
    expect(
      await client
        .exec({ argv: ['x'], timeoutMs: 20 })
        .result.catch((error: unknown) => isVmRuntimeError(error, 'MICROVM_TIMEOUT')),
    ).toBe(true);
    await expect(client.thaw({ epoch: 4 })).rejects.toMatchObject({ errno: 'EINVAL' });
    client.close();
  });

  it('undo a freeze that succeeds only after its caller has given up', async () => {
    let goOn: () => void = () => undefined;
    let onThaw: () => void = () => undefined;
    const thawed = new Promise<void>((resolve) => (onThaw = resolve));
    const { client, agent } = await scriptedGuest({
      freeze: () => new Promise((resolve) => (goOn = resolve)),
      thaw: () => {
        expect(agent.isFrozen).toBe(true);
        onThaw();
      },
    });
    await expect(client.freeze({ timeoutMs: 20 })).rejects.toMatchObject({ code: 'MICROVM_TIMEOUT' });
    goOn();
    await thawed;
    client.close();
  });

  it.each([
    ['entropy', { entropy: Buffer.alloc(31) }],
    ['entropy', { entropy: Buffer.alloc(513) }],
    ['hostname', { hostname: 'x'.repeat(65) }],
    ['machineId', { machineId: 'not hex' }],
    ['epoch', { epoch: -1 }],
    ['wallClockMs', { wallClockMs: Number.NaN }],
  ])('refuse a wrong %s', async (path, options) => {
    const { client } = await scriptedGuest({});
    await expect(client.thaw(options)).rejects.toMatchObject({
      code: 'MICROVM_INVALID_ARGUMENT',
      details: { path },
    });
    client.close();
  });
});

describe('a guest that ends', () => {
  it('is what calls blame when they are cut off, as soon as it has said farewell', async () => {
    const { client, agent } = await scriptedGuest({ exec: forever });
    const running = client.exec({ argv: ['poweroff'] }).result;
    await client.ping();
    agent.farewell({ reason: 'power-off', action: 'poweroff' });
    agent.close();
    const blamed = expect.objectContaining({
      code: 'MICROVM_GUEST_UNREACHABLE',
      details: { vmId: 'vm', reason: 'the guest has ended: power-off' },
      remedy: 'start the VM again, or look at its view for how it ended',
    }) as unknown;
    await expect(running).rejects.toEqual(blamed);
    await expect(client.ping()).rejects.toEqual(blamed);
  });
});

describe('a call', () => {
  it('of a closed client rejects with GUEST_UNREACHABLE, and closing twice does nothing', async () => {
    const { client } = await scriptedGuest({});
    client.close();
    client.close();
    await client.closed;
    expect(await client.farewell).toBeUndefined();
    const unreachable = expect.objectContaining({ code: 'MICROVM_GUEST_UNREACHABLE' }) as unknown;
    await expect(client.ping()).rejects.toEqual(unreachable);
    await expect(client.freeze()).rejects.toEqual(unreachable);
    await expect(client.exec({ argv: ['x'] }).result).rejects.toEqual(unreachable);
  });

  it('rejects with the signal’s own reason, before and during', async () => {
    const { client } = await scriptedGuest({ setClock: () => new Promise(() => undefined) });
    const reason = new Error('stop');
    await expect(client.ping({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const abort = new AbortController();
    const call = client.setClock(1, { signal: abort.signal });
    abort.abort(reason);
    await expect(call).rejects.toBe(reason);
    await expect(client.setClock(1, { timeoutMs: 20 })).rejects.toMatchObject({ code: 'MICROVM_TIMEOUT' });
    client.close();
  });

  it('adds one listener to a signal that a hundred calls share', async () => {
    const warned = vi.fn();
    process.on('warning', warned);
    const { client } = await scriptedGuest({ exec: forever });
    const abort = new AbortController();
    const results = Array.from({ length: 100 }, () =>
      client.exec({ argv: ['x'], signal: abort.signal }).result.catch((error: unknown) => error),
    );
    expect(getEventListeners(abort.signal, 'abort')).toHaveLength(1);
    const reason = new Error('enough');
    abort.abort(reason);
    for (const error of await Promise.all(results)) expect(error).toBe(reason);
    process.off('warning', warned);
    expect(warned).not.toHaveBeenCalled();
    client.close();
  });

  it('finds the commands of an earlier session, whose readers do not return, going on without them', async () => {
    let written = 0;
    let goOn: () => void = () => undefined;
    const reconnected = new Promise<void>((resolve) => (goOn = resolve));
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const exec = async ({ argv, stdout }: ScriptedCommand) => {
      if (argv[0] === 'true') return 0;
      await reconnected;
      for (; written < 100; written++) await stdout(Buffer.alloc(10_000));
      end();
      return 0;
    };
    const { client, agent } = await scriptedGuest({ exec }, { awaitReaderMs: 1 });
    client.exec({ argv: ['flood'] });
    await client.ping();
    const second = await connectTo(agent);
    goOn();
    await ended;
    expect(written).toBe(100);
    expect(await second.exec({ argv: ['true'] }).result).toMatchObject({ exitCode: 0 });
    second.close();
  });
});
