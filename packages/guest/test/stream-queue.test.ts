import { describe, expect, it } from 'vitest';
import { duplexPair } from 'node:stream';
import { ScriptedAgent } from '../src/scripted-agent.js';
import type { ScriptedCommand } from '../src/scripted-command.js';
import { ReturningGuest } from './returning-guest.js';
import { connectTo, scriptedGuest } from './scripted-guest.js';

/** A script whose commands run until the test lets them end. */
class Holding {
  running = 0;
  most = 0;
  started = 0;
  #goOn: (() => void)[] = [];

  readonly exec = async ({ signal }: ScriptedCommand): Promise<number> => {
    this.started += 1;
    this.running += 1;
    this.most = Math.max(this.most, this.running);
    await new Promise<void>((resolve) => {
      this.#goOn.push(resolve);
      signal.addEventListener('abort', () => resolve());
    });
    this.running -= 1;
    return 0;
  };

  endOne(): void {
    this.#goOn.shift()?.();
  }
}

describe('commands that the guest cannot start yet', () => {
  it('wait beyond the number that it runs at once, and are started as others end', async () => {
    const script = new Holding();
    const { client } = await scriptedGuest({ exec: script.exec });
    const results = Array.from({ length: 300 }, () => client.exec({ argv: ['x'] }).result);
    await client.ping();
    expect(script.started).toBe(256);
    for (let ended = 0; ended < 300; ended++) {
      script.endOne();
      await client.ping();
    }
    for (const result of await Promise.all(results)) expect(result.exitCode).toBe(0);
    expect(script.most).toBe(256);
    client.close();
  });

  it('wait while the workload is frozen, and are started by the thaw in their order', async () => {
    const seen: string[] = [];
    const { client } = await scriptedGuest({
      exec: async ({ argv, stdin, stdout }) => {
        seen.push(argv[1] ?? '');
        for await (const chunk of stdin) await stdout(chunk);
        return 0;
      },
    });
    const freezing = client.freeze();
    const first = client.exec({ argv: ['x', 'during'], input: 'kept' });
    await freezing;
    const second = client.exec({ argv: ['x', 'after'], input: '' });
    await client.ping();
    expect(seen).toEqual([]);
    await client.thaw();
    expect((await first.result).stdout.toString()).toBe('kept');
    expect((await second.result).exitCode).toBe(0);
    expect(seen).toEqual(['during', 'after']);
    client.close();
  });

  it('are started when a freeze fails', async () => {
    const { client } = await scriptedGuest({
      freeze: () => {
        throw new Error('no');
      },
    });
    const freezing = client.freeze();
    const result = client.exec({ argv: ['x'] }).result;
    await expect(freezing).rejects.toMatchObject({ name: 'AgentFailure' });
    expect((await result).exitCode).toBe(0);
    client.close();
  });

  it('wait in a session that finds the guest frozen', async () => {
    const { client, agent } = await scriptedGuest({});
    await client.freeze();
    const second = await connectTo(agent);
    const result = second.exec({ argv: ['x'] }).result;
    await second.thaw();
    expect((await result).exitCode).toBe(0);
    second.close();
  });

  it('reject at their deadline with a code that says that nothing was started', async () => {
    const script = new Holding();
    const { client } = await scriptedGuest({ exec: script.exec });
    await client.freeze();
    await expect(client.exec({ argv: ['late'], timeoutMs: 20 }).result).rejects.toMatchObject({
      code: 'MICROVM_GUEST_BUSY',
      retryable: true,
      details: { vmId: 'vm', reason: 'its workload is frozen' },
      message: 'exec "late" in the guest of "vm": not started: its workload is frozen',
    });
    await client.thaw();
    await client.ping();
    expect(script.started).toBe(0);
    client.close();
  });

  it('are taken back by an abort or a signal, and reject when the session ends', async () => {
    const script = new Holding();
    const { client } = await scriptedGuest({ exec: script.exec });
    await client.freeze();
    const abort = new AbortController();
    const aborted = client.exec({ argv: ['x'], signal: abort.signal });
    const reason = new Error('not needed');
    abort.abort(reason);
    await expect(aborted.result).rejects.toBe(reason);
    const killed = client.exec({ argv: ['x'] });
    await killed.kill('SIGWINCH');
    await killed.kill();
    expect(await killed.result).toMatchObject({ exitCode: null, signal: 'SIGTERM' });
    const left = client.exec({ argv: ['x'] });
    client.close();
    await expect(left.result).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    expect(script.started).toBe(0);
  });
});

describe('a guest that cuts each session at once', () => {
  it('is asked less and less often for the next one, and its readers go on as soon as it answers', async () => {
    let answer: () => void = () => undefined;
    const answers = new Promise<void>((resolve) => (answer = resolve));
    const agent = new ScriptedAgent({ exec: () => answers.then(() => 7) });
    const asked: number[] = [];
    const guest = new ReturningGuest(() => {
      asked.push(performance.now());
      const [host, inside] = duplexPair();
      agent.serve(inside);
      if (asked.length === 8) answer();
      else host.once('data', () => setImmediate(() => inside.end()));
      return host;
    });
    expect(await guest.exec({ argv: ['x'] }).result).toMatchObject({ exitCode: 7 });
    expect(asked).toHaveLength(8);
    // 1, 2, 4 … 64 ms, whatever the load of the host adds.
    expect((asked[7] ?? 0) - (asked[0] ?? 0)).toBeGreaterThan(120);
    await guest.close();
  });
});
