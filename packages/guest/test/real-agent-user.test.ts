import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExecRequest } from '@microvm/runtime';
import { AgentClient } from '../src/client.js';
import { RealAgent, whyNoNamespaces } from './real-agent.js';

const problem = process.getuid?.() === 0 ? whyNoNamespaces() : 'several user ids need root';
if (problem !== undefined) console.warn(`SKIPPED: the real agent's users: ${problem}`);

const PASSWD = `root:x:0:0:root:/root:/bin/sh
broken line
half:x:12
me:x:4001:4002:Me:/home/me:/bin/my-shell
4001:x:4009:4009:a name of digits:/home/digits:
`;
const GROUP = `root:x:0:
wheel:x:4010:you,me
mine:x:4002:
lost:x:no-number:me
disk:x:4011:me
`;

let agent: RealAgent;
let client: AgentClient;
let dir: string;

describe.skipIf(problem !== undefined)('the real agent runs a command', () => {
  beforeEach(async () => {
    agent = new RealAgent(undefined, { isRoot: true });
    client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
    dir = mkdtempSync(join(tmpdir(), 'microvm-users-'));
    writeFileSync(join(dir, 'passwd'), PASSWD);
    writeFileSync(join(dir, 'group'), GROUP);
    // In the agent's own mount namespace.
    const script = 'for f in passwd group; do mount --bind "$1/$f" /etc/$f || exit; done';
    expect(await client.exec({ argv: ['sh', '-c', script, 'sh', dir] }).result).toMatchObject({
      exitCode: 0,
    });
  });

  afterEach(async () => {
    client.close();
    await agent.stop();
    rmSync(dir, { recursive: true });
  });

  const run = async (script: string, request: Partial<ExecRequest> = {}): Promise<string> => {
    const { stdout, stderr } = await client.exec({ argv: ['sh', '-c', script], ...request }).result;
    return (stdout.toString() + stderr.toString()).trim();
  };
  const failure = (request: ExecRequest): Promise<unknown> =>
    client.exec(request).result.catch((error: unknown) => error);

  it.each([
    ['me', '4001 4002 4002 4010 4011'],
    [4009, '4009 4009 4009'],
    ['4001', '4009 4009 4009'],
    ['4002', '4002 4002 4002'],
    ['me:wheel', '4001 4010 4010'],
    ['me:77', '4001 77 77'],
    ['0', '0 0 0'],
  ])('as %s, with the groups that it has', async (user, ids) => {
    expect(await run('echo $(id -u) $(id -g) $(id -G)', { user })).toBe(ids);
  });

  it('with the guest’s defaults, those of its user, and what was asked for over both', async () => {
    const show = 'echo $HOME $SHELL $USER $LOGNAME $ASKED';
    expect(await run(show, { user: 'me' })).toBe('/home/me /bin/my-shell me me');
    const env = { HOME: '/elsewhere', ASKED: 'yes' };
    expect(await run(show, { user: 'me', env })).toBe('/elsewhere /bin/my-shell me me yes');
    expect(await run(show, { user: 4002 })).toBe('/ /bin/sh 4002 4002');
    expect(await run('echo $USER', { env: { PATH: process.env['PATH'] ?? '' } })).toBe(
      process.env['USER'] ?? '',
    );
  });

  it('that can open its own standard streams again, on pipes and on a terminal', async () => {
    const script = 'echo out > /dev/stdout && echo err > /dev/stderr';
    expect(await run(script, { user: 'me' })).toBe('out\nerr');
    const pty = { cols: 80, rows: 24 };
    expect(await run('echo typed > /dev/tty && ls -l $(tty) | cut -d" " -f3', { user: 'me', pty })).toBe(
      'typed\r\nme',
    );
  });

  it('that cannot change back, and enters its folder as who it is', async () => {
    expect(await run('cat /proc/self/status | grep -c "Uid:.4001.4001.4001.4001"', { user: 'me' })).toBe('1');
    const error = await failure({ argv: ['true'], user: 'me', cwd: '/root' });
    expect(error).toMatchObject({ code: 'MICROVM_EXEC_FAILED', details: { step: 'cwd', errno: 'EACCES' } });
  });

  it.each(['nobody-here', 'me:no-group', 'half', 'root:lost'])(
    'not as %s: the step is user',
    async (user) => {
      expect(await failure({ argv: ['true'], user })).toMatchObject({
        code: 'MICROVM_EXEC_FAILED',
        details: { step: 'user', errno: 'ENOENT' },
        message: expect.stringContaining(`the user "${user}" is not known in the guest`) as unknown,
      });
    },
  );

  it('not as anybody of a file that is too big', async () => {
    writeFileSync(join(dir, 'passwd'), PASSWD + `#${' '.repeat(1 << 20)}`);
    const error = await failure({ argv: ['true'], user: 'me' });
    expect(error).toMatchObject({ details: { step: 'user', errno: 'EFBIG' } });
  });

  it('within its limits', async () => {
    const rlimits = {
      ...{ cpuSeconds: 7, addressSpaceBytes: 1 << 30, fileSizeBytes: 4096 },
      ...{ openFiles: 33, processes: 44 },
    };
    const show = 'ulimit -t; ulimit -v; ulimit -f; ulimit -n; cat /proc/self/limits | grep processes';
    const shown = await run(show, { user: 'me', rlimits });
    expect(shown).toMatch(/^7\n1048576\n8\n33\nMax processes +44 +44 /);
    const written = client.exec({
      argv: ['sh', '-c', 'exec dd if=/dev/zero of="$1/big" bs=8192 count=1', 'sh', dir],
      rlimits: { fileSizeBytes: 4096 },
    });
    expect(await written.result).toMatchObject({ signal: 'SIGXFSZ' });
    const busy = client.exec({ argv: ['sh', '-c', 'while :; do :; done'], rlimits: { cpuSeconds: 1 } });
    expect(await busy.result).toMatchObject({ signal: 'SIGKILL' });
  });

  it('not with limits that the guest does not allow: the step is rlimits', async () => {
    const tooMany = await failure({ argv: ['true'], rlimits: { openFiles: 2 ** 40 } });
    expect(tooMany).toMatchObject({ details: { step: 'rlimits', errno: 'EPERM' } });
  });
});
