import { describe, expect, it } from 'vitest';
import type { ScriptedCommand } from '../src/scripted-command.js';
import { scriptedGuest } from './scripted-guest.js';

/** A command that runs until it is killed. */
const forever = ({ signal }: ScriptedCommand): Promise<number> =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(0));
  });

/** Says `begun` and goes on until it is killed. */
const begin = async (command: ScriptedCommand): Promise<number> => {
  await command.stdout('begun');
  await command.stderr('complaint');
  return forever(command);
};
const READ = { stdout: Buffer.from('begun'), stderr: Buffer.from('complaint') };

describe('a command that is ended', () => {
  it('by a time-out keeps what was read, and says how the guest ended it', async () => {
    const { client } = await scriptedGuest({ exec: begin });
    const awaited = client.exec({ argv: ['x'], timeoutMs: 50 });
    await expect(awaited.result).rejects.toMatchObject({
      code: 'MICROVM_TIMEOUT',
      result: { exitCode: null, signal: 'SIGKILL', ...READ },
    });
    // Nobody had asked for it before its end.
    const late = client.exec({ argv: ['x'], timeoutMs: 50 });
    await expect.poll(() => late.collected).toEqual(READ);
    await expect(late.result).rejects.toMatchObject({ result: READ });
    client.close();
  });

  it('by a time-out in a guest that does not confirm it says neither code nor signal', async () => {
    const { client, agent } = await scriptedGuest({ exec: begin });
    const command = client.exec({ argv: ['x'], timeoutMs: 50 });
    const result = command.result.catch((error: unknown) => error);
    await expect.poll(() => command.collected).toEqual(READ);
    agent.close();
    await client.closed;
    expect(await result).toMatchObject({ code: expect.stringMatching(/TIMEOUT|UNREACHABLE/) as unknown });
    client.close();
  });

  it('by an abort leaves what was read with the command: the reason is the caller’s own', async () => {
    const { client } = await scriptedGuest({ exec: begin });
    const abort = new AbortController();
    const command = client.exec({ argv: ['x'], signal: abort.signal });
    const result = command.result.catch((error: unknown) => error);
    await expect.poll(() => command.collected).toEqual(READ);
    const reason = Object.freeze(new Error('enough'));
    abort.abort(reason);
    expect(await result).toBe(reason);
    expect(command.collected).toEqual(READ);
    client.close();
  });

  it('by an error tells an iterating reader of it, who has the output', async () => {
    const { client } = await scriptedGuest({ exec: begin });
    const command = client.exec({ argv: ['x'], timeoutMs: 50 });
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { data } of command) seen.push(data.toString());
    })();
    const error = (await reading.catch((failure: unknown) => failure)) as { code: string; result?: unknown };
    expect(error.code).toBe('MICROVM_TIMEOUT');
    expect(error.result).toBeUndefined();
    expect(seen).toEqual(['begun', 'complaint']);
    client.close();
  });
});
