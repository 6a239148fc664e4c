import { describe, expect, it, vi } from 'vitest';
import type { ExecRequest } from '@microvm/runtime';
import { ScriptedAgent } from '../src/scripted-agent.js';
import type { ScriptedCommand } from '../src/scripted-command.js';
import { connectTo } from './scripted-guest.js';

/** Shows what it was given. */
const bySelf = async ({ argv, env, cwd, user, stdin, stdout }: ScriptedCommand): Promise<number> => {
  let input = '';
  for await (const chunk of stdin) input += chunk.toString();
  await stdout(JSON.stringify({ argv, env, cwd, user, input }));
  return 0;
};

describe('the agent of an old snapshot', () => {
  it('is served with what protocol 1 has', async () => {
    const agent = new ScriptedAgent({ exec: bySelf }, { protocol: 1 });
    const client = await connectTo(agent);
    const env = { A: 'b' };
    const result = await client.exec({ argv: ['show'], env, cwd: '/srv', input: 'in' }).result;
    expect(JSON.parse(result.stdout.toString())).toEqual({
      argv: ['show'],
      env,
      cwd: '/srv',
      user: '',
      input: 'in',
    });
    const killed = client.exec({ argv: ['show'] });
    await killed.kill();
    expect(await killed.result).toMatchObject({ signal: 'SIGTERM' });
    await client.freeze();
    await client.thaw({ epoch: 2 });
    expect((await client.ping()).epoch).toBe(2);
    client.close();
  });

  it('tells no metrics', async () => {
    const client = await connectTo(new ScriptedAgent({ exec: bySelf }, { protocol: 1 }));
    await expect(client.metrics()).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
      details: { feature: 'metrics' },
    });
    client.close();
  });

  it('has neither environment nor secrets, and needs none where there are none', async () => {
    const client = await connectTo(new ScriptedAgent({ exec: bySelf }, { protocol: 1 }));
    await client.configure({ env: {} });
    await client.configure({ secrets: { keep: [], give: new Map() } });
    const secrets = { keep: [], give: new Map([['a', { bytes: Buffer.from('1'), owner: '' }]]) };
    await expect(client.configure({ secrets })).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
      details: { feature: 'setSecret' },
    });
    await expect(client.configure({ env: { A: '1' } })).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
      details: { feature: 'setEnv' },
    });
    expect((await client.ping()).epoch).toBe(1);
    client.close();
  });

  it.each<Partial<ExecRequest>>([
    { user: 'root' },
    { rlimits: { openFiles: 5 } },
    { pty: { cols: 80, rows: 24 } },
    { secrets: { TOKEN: 'registry' } },
  ])('refuses what it does not have: %j', async (request) => {
    const exec = vi.fn(() => 0);
    const client = await connectTo(new ScriptedAgent({ exec }, { protocol: 1 }));
    await expect(client.exec({ argv: ['x'], ...request }).result).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
      details: { feature: 'exec with user, rlimits, pty or secrets, or without argv' },
      remedy: expect.stringContaining('make its snapshot again') as unknown,
    });
    expect((await client.exec({ argv: ['x'], rlimits: {} }).result).exitCode).toBe(0);
    expect(exec).toHaveBeenCalledTimes(1);
    client.close();
  });
});
