import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExecChunk, ExecRequest, ImageConfig } from '@microvm/runtime';
import { AgentClient } from '../src/client.js';
import { AgentCgroup, RealAgent, whyNoNamespaces } from './real-agent.js';

const problem = process.getuid?.() === 0 ? whyNoNamespaces() : 'several user ids need root';
if (problem !== undefined) console.warn(`SKIPPED: the real agent's images: ${problem}`);

const NONE: ImageConfig = { env: {}, workingDir: '', user: '', entrypoint: [], cmd: [] };
const SHOW = 'echo $(id -u) $(id -g) $(id -G) $HOME $PWD $A $B $C';

let agent: RealAgent;
let client: AgentClient;
let dir: string;

const connect = (): Promise<AgentClient> =>
  AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });

const output = async (request: ExecRequest): Promise<string> => {
  const { stdout, stderr } = await client.exec(request).result;
  return (stdout.toString() + stderr.toString()).trim();
};

/** Runs until its first output, so that it has whatever handlers it sets before that. */
async function begin(request: ExecRequest): Promise<ReturnType<AgentClient['exec']>> {
  const command = client.exec(request);
  const { value } = (await command[Symbol.asyncIterator]().next()) as IteratorYieldResult<ExecChunk>;
  expect(value.data.toString()).toBe('begun\n');
  return command;
}

describe.skipIf(problem !== undefined)('the real agent of a VM with an image', () => {
  beforeEach(async () => {
    agent = new RealAgent(undefined, { isRoot: true });
    client = await connect();
    dir = mkdtempSync(join(tmpdir(), 'microvm-image-'));
    writeFileSync(join(dir, 'passwd'), 'root:x:0:0:root:/root:/bin/sh\nme:x:4001:4002:Me:/home/me:/bin/sh\n');
    writeFileSync(join(dir, 'group'), 'root:x:0:\nmine:x:4002:\nwheel:x:4010:me\n');
    // In the agent's own mount namespace; what is made below /mnt is seen there alone.
    const script =
      'for f in passwd group; do mount --bind "$1/$f" /etc/$f || exit; done; mount -t tmpfs image /mnt';
    expect(await output({ argv: ['sh', '-c', script, 'sh', dir] })).toBe('');
  });

  afterEach(async () => {
    client.close();
    await agent.stop();
    rmSync(dir, { recursive: true });
  });

  it('gives commands its environment, folder and user where they ask for none', async () => {
    const env = { A: 'image', B: 'image', C: 'image' };
    await client.configure({
      image: { ...NONE, env, workingDir: '/usr', user: 'me' },
      env: { B: 'vm', C: 'vm' },
    });
    const argv = ['sh', '-c', SHOW] as const;
    expect(await output({ argv, env: { C: 'own' } })).toBe('4001 4002 4002 4010 /home/me /usr image vm own');
    expect(await output({ argv, user: 0, cwd: '/' })).toMatch(/^0 0 0 \S+ \/ image vm vm$/);
  });

  it('is told so in all later sessions too, and a later image takes the place of an earlier one', async () => {
    await client.configure({ image: { ...NONE, env: { A: '1', B: '1' } } });
    await client.configure({ image: { ...NONE, env: { B: '2' } } });
    client.close();
    client = await connect();
    expect(await output({ argv: ['sh', '-c', 'echo [$A] [$B]'] })).toBe('[] [2]');
  });

  it.each([
    ['4001', '4001 4002 4002 4010 /home/me'],
    ['me:wheel', '4001 4010 4010 /home/me'],
    ['5000:5001', '5000 5001 5001 /'],
    // As images have it, and other than for a user that a command names.
    ['5000', '5000 0 0 /'],
  ])('runs commands as its USER %s', async (user, expected) => {
    await client.configure({ image: { ...NONE, user } });
    expect(await output({ argv: ['sh', '-c', 'echo $(id -u) $(id -g) $(id -G) $HOME'] })).toBe(expected);
  });

  it('tells of a USER that the guest does not know', async () => {
    await client.configure({ image: { ...NONE, user: 'nobody-of-this-name' } });
    await expect(client.exec({ argv: ['true'] }).result).rejects.toMatchObject({
      code: 'MICROVM_EXEC_FAILED',
      details: { step: 'user', errno: 'ENOENT' },
      message: expect.stringContaining('the image’s user is not known') as unknown,
    });
    expect(await output({ argv: ['id', '-u'], user: 'root' })).toBe('0');
  });

  it('makes its WORKDIR, as root and for all to read, for a command of another user', async () => {
    await client.configure({ image: { ...NONE, workingDir: '/mnt/a/b c/', user: 'me' } });
    const argv = ['sh', '-c', 'pwd; stat -c "%u:%g %a" . ..'] as const;
    expect(await output({ argv })).toBe('/mnt/a/b c\n0:0 755\n0:0 755');
    // The folder that a command names is not made.
    await expect(client.exec({ argv: ['true'], cwd: '/mnt/none' }).result).rejects.toMatchObject({
      details: { step: 'cwd', errno: 'ENOENT' },
    });
  });

  it('tells of a WORKDIR that can be no folder', async () => {
    await client.configure({ image: { ...NONE, workingDir: '/etc/passwd' } });
    await expect(client.exec({ argv: ['true'] }).result).rejects.toMatchObject({
      code: 'MICROVM_EXEC_FAILED',
      details: { step: 'cwd', errno: 'ENOTDIR' },
    });
  });

  it('runs ENTRYPOINT and CMD for a command without a program, found in the PATH of the image', async () => {
    const script = `mkdir /mnt/bin; printf '#!/bin/sh\\necho "$0" "$@"' > /mnt/bin/start; chmod +x /mnt/bin/start`;
    await output({ argv: ['sh', '-c', script] });
    const env = { PATH: `/mnt/bin:${process.env['PATH'] ?? ''}` };
    await client.configure({ image: { ...NONE, env, entrypoint: ['start'], cmd: ['a', ''] } });
    expect(await output({})).toBe('/mnt/bin/start a');
    expect(await output({ argv: ['echo', 'own'] })).toBe('own');
    await client.configure({ image: { ...NONE, cmd: ['echo', 'cmd alone'] } });
    expect(await output({})).toBe('cmd alone');
  });

  it('starts no command without a program where there is none to run', async () => {
    await expect(client.exec({}).result).rejects.toMatchObject({
      code: 'MICROVM_EXEC_FAILED',
      details: { step: 'argv', errno: 'EINVAL' },
    });
  });

  it('leaves the files API to root', async () => {
    await client.configure({ image: { ...NONE, user: 'me', workingDir: '/mnt/x' } });
    await client.files.writeFile('/mnt/of-root', 'text');
    expect(await output({ argv: ['stat', '-c', '%u', '/mnt/of-root'] })).toBe('0');
  });
});

const cgroup = problem === undefined ? AgentCgroup.make() : undefined;

describe.skipIf(problem !== undefined)('a stop of the real agent', () => {
  const TRAPS = 'trap "echo term >> $1; exit 0" TERM; trap "echo quit >> $1; exit 0" QUIT; echo begun; ';
  const WAITS = 'while :; do sleep 0.02; done';
  const image = { ...NONE, entrypoint: ['sh', '-c', TRAPS + WAITS, 'sh'] };

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'microvm-image-'));
    agent = new RealAgent(cgroup, { isRoot: true });
    client = await connect();
  });

  afterEach(async () => {
    client.close();
    await agent.stop();
    rmSync(dir, { recursive: true });
  });

  const stopped = async (): Promise<Record<string, string>> => {
    await client.shutdown('poweroff', { graceMs: 600_000 });
    await client.farewell;
    return Object.fromEntries(
      ['main', 'other'].map((name) => [name, readFileSync(join(dir, name), 'utf8')] as const),
    );
  };

  it.each([
    ['SIGQUIT', { main: 'quit\n', other: 'term\n' }],
    [undefined, { main: 'term\n', other: 'term\n' }],
  ])('sends STOPSIGNAL %s to the image’s own process alone', async (stopSignal, expected) => {
    const signal = stopSignal === undefined ? {} : { stopSignal };
    await client.configure({ image: { ...image, cmd: [join(dir, 'main')], ...signal } });
    await begin({});
    await begin({ argv: ['sh', '-c', TRAPS + WAITS, 'sh', join(dir, 'other')] });
    expect(await stopped()).toEqual(expected);
  });
});
