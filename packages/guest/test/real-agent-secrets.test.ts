import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExecRequest, GuestSecret } from '@microvm/runtime';
import { AgentClient } from '../src/client.js';
import { RealAgent, whyNoNamespaces } from './real-agent.js';

const problem = whyNoNamespaces();
if (problem !== undefined) console.warn(`SKIPPED: the tests of the real agent: ${problem}`);
const isRoot = process.getuid?.() === 0;

let agent: RealAgent;
let client: AgentClient;

const connect = (): Promise<AgentClient> =>
  AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });

beforeEach(async () => {
  if (problem !== undefined) return;
  // With several users where the host has them to give.
  agent = new RealAgent(undefined, { isRoot });
  client = await connect();
});

afterEach(async () => {
  if (problem !== undefined) return;
  client.close();
  await agent.stop();
});

const give = (values: Readonly<Record<string, string | Buffer>>, owner = ''): Map<string, GuestSecret> =>
  new Map(Object.entries(values).map(([name, value]) => [name, { bytes: Buffer.from(value), owner }]));

async function run(script: string, request: Partial<ExecRequest> = {}): Promise<string> {
  const { stdout, stderr } = await client.exec({ argv: ['sh', '-c', script], input: '', ...request }).result;
  return `${stdout.toString()}${stderr.toString()}`.trim();
}

describe.skipIf(problem !== undefined)('the secrets of the real agent', () => {
  it('are files of mode 0600 in memory, which nobody can list but root', async () => {
    const folder = agent.secretsFolder;
    const binary = Buffer.from([0, 255, 10, 0]);
    await client.setSecrets({ keep: [], give: give({ token: 'open sesame', binary }) });
    expect(await run(`cat ${folder}/token; stat -c '%a %u' ${folder} ${folder}/token`)).toBe(
      'open sesame711 0\n600 0',
    );
    const { stdout } = await client.exec({ argv: ['cat', `${folder}/binary`], input: '' }).result;
    expect(stdout).toEqual(binary);
    expect(await run(`stat -f -c %T ${folder}`)).toBe('tmpfs');
    expect(await run(`grep ' ${folder} ' /proc/self/mounts`)).toMatch(/nosuid,nodev,noexec/);
  });

  it('are exactly what the host says: kept, replaced, removed', async () => {
    const folder = agent.secretsFolder;
    await client.setSecrets({ keep: [], give: give({ a: '1', b: '2', c: '3' }) });
    await client.setSecrets({ keep: ['a'], give: give({ b: 'two' }) });
    expect(await run(`cd ${folder}; ls -A; cat a b`)).toBe('a\nb\n1two');
    await expect(client.setSecrets({ keep: ['c'], give: new Map() })).rejects.toMatchObject({
      step: 'keep',
      errno: 'ENOENT',
    });
    client.close();
    client = await connect();
    expect(await run(`ls -A ${folder}`)).toBe('a\nb');
    await client.setSecrets({ keep: [], give: new Map() });
    expect(await run(`ls -A ${folder}`)).toBe('');
  });

  it('are values of variables of those commands that name them, and of no other', async () => {
    await client.setEnv({ TOKEN: 'of vm' });
    await client.setSecrets({ keep: [], give: give({ token: 'open sesame', binary: 'a\0b' }) });
    expect(await run('echo $TOKEN', { secrets: { TOKEN: 'token' } })).toBe('open sesame');
    expect(await run('echo $TOKEN')).toBe('of vm');
    for (const [name, errno] of [
      ['none', 'ENOENT'],
      ['binary', 'EINVAL'],
    ] as const) {
      await expect(run('true', { secrets: { TOKEN: name } })).rejects.toMatchObject({
        code: 'MICROVM_EXEC_FAILED',
        details: { step: 'secrets', errno },
      });
    }
    await expect(run('true', { env: { A: '1' }, secrets: { A: 'token' } })).rejects.toMatchObject({
      code: 'MICROVM_INVALID_ARGUMENT',
    });
  });

  it('are set while the workload is frozen, as before a restored one goes on', async () => {
    await client.freeze();
    await client.setSecrets({ keep: [], give: give({ token: 'x' }) });
    await client.thaw({ epoch: 2 });
    expect(await run(`cat ${agent.secretsFolder}/token`)).toBe('x');
  });

  it('of the longest kind come whole, 64 of them', async () => {
    const long = 'x'.repeat(64 * 1024);
    const many = Object.fromEntries(
      Array.from({ length: 64 }, (_, index) => [`s${index}`, index < 8 ? long : '']),
    );
    await client.setSecrets({ keep: [], give: give(many) });
    expect(await run(`cd ${agent.secretsFolder}; ls | wc -l; cat s* | wc -c`)).toBe(`64\n${8 * 64 * 1024}`);
  });

  it.runIf(isRoot)('belong to the user that was named, who reads its own and no other', async () => {
    const folder = agent.secretsFolder;
    const secrets = new Map([...give({ own: 'mine' }, 'nobody'), ...give({ other: 'not mine' })]);
    await client.setSecrets({ keep: [], give: secrets });
    const text = await run(`cat ${folder}/own; cat ${folder}/other; ls ${folder}`, { user: 'nobody' });
    expect(text).toMatch(/^mine/);
    expect(text.match(/Permission denied/g)).toHaveLength(2);
    expect(await run('echo $A', { user: 'nobody', secrets: { A: 'other' } })).toBe('not mine');
    await expect(
      client.setSecrets({ keep: [], give: give({ a: '1' }, 'no-such-user') }),
    ).rejects.toMatchObject({
      code: 'MICROVM_INVALID_ARGUMENT',
      details: { path: 'owner' },
    });
  });

  it.runIf(isRoot)('are in no memory of the agent, neither while they are there nor afterwards', async () => {
    const marker = `marker-${Math.random().toString(36).slice(2)}-${'0123456789'.repeat(500)}`;
    await client.setSecrets({ keep: [], give: give({ first: marker }) });
    expect(countIn(agent.pid, marker)).toBe(0);
    await run('true', { secrets: { A: 'first' } });
    await client.setSecrets({ keep: ['first'], give: give({ second: marker }) });
    client.close();
    client = await connect();
    expect(countIn(agent.pid, marker)).toBe(0);
    await client.setSecrets({ keep: [], give: new Map() });
    expect(countIn(agent.pid, marker)).toBe(0);
  });

  it('are refused by an agent that has no folder for them', async () => {
    const bare = new RealAgent(undefined, { hasSecrets: false });
    const other = await AgentClient.connect(bare.port.plug(), { vm: { vmId: 'bare' }, timeoutMs: 600_000 });
    await expect(other.setSecrets({ keep: [], give: give({ a: '1' }) })).rejects.toMatchObject({
      step: 'folder',
      errno: 'EOPNOTSUPP',
    });
    other.close();
    await bare.stop();
  });
});

/** How often the bytes, or a long part of them, are found in the writable memory of a process. */
function countIn(pid: number, marker: string): number {
  const parts = [marker, marker.slice(0, 64), marker.slice(-64)].map((part) => Buffer.from(part));
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  let count = 0;
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const [, from = '', to = '', mode = ''] = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line) ?? [];
      if (!mode.startsWith('rw')) continue;
      const bytes = Buffer.alloc(Number(BigInt(`0x${to}`) - BigInt(`0x${from}`)));
      readSync(memory, bytes, 0, bytes.length, BigInt(`0x${from}`) as unknown as number);
      count += parts.filter((part) => bytes.includes(part)).length;
    }
  } finally {
    closeSync(memory);
  }
  return count;
}
