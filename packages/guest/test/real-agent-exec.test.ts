import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { ExecProcess } from '@microvm/runtime';
import { AgentClient } from '../src/client.js';
import { OUTPUT_WINDOW } from '../src/protocol.js';
import { RealAgent, whyNoNamespaces } from './real-agent.js';

const problem = whyNoNamespaces();
if (problem !== undefined) console.warn(`SKIPPED: the tests of the real agent: ${problem}`);

let agent: RealAgent;
let client: AgentClient;

beforeEach(async () => {
  if (problem !== undefined) return;
  agent = new RealAgent();
  client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
});

afterEach(async () => {
  if (problem !== undefined) return;
  client.close();
  await agent.stop();
});

const shell = (script: string, ...args: string[]): ExecProcess =>
  client.exec({ argv: ['sh', '-c', script, 'sh', ...args] });
const output = async (script: string): Promise<string> =>
  (await shell(script).result).stdout.toString().trim();

/** The first output of a command. */
async function firstLine(process: ExecProcess): Promise<string> {
  for await (const { data } of process) return data.toString().trim();
  throw new Error('no output');
}

async function untilGone(pid: string): Promise<void> {
  while ((await shell('kill -0 "$1"', pid).result).exitCode === 0);
}

describe.skipIf(problem !== undefined)('the real agent runs a command', () => {
  it('with its output, exit code, environment, directory and input', async () => {
    const result = await client.exec({
      argv: ['sh', '-c', 'cat; echo "$GREETING from $(pwd)"; echo complaint >&2; exit 7'],
      env: { GREETING: 'hello', PATH: '/usr/bin:/bin' },
      cwd: '/usr',
      input: 'given\n',
    }).result;
    expect(result).toEqual({
      exitCode: 7,
      signal: null,
      stdout: Buffer.from('given\nhello from /usr\n'),
      stderr: Buffer.from('complaint\n'),
    });
  });

  it('in a session of its own, with default signals and nothing inherited', async () => {
    expect(await output('ls /proc/self/fd | tr "\\n" " "')).toBe('0 1 2 3');
    expect(await output('[ "$(cut -d" " -f6 /proc/$$/stat)" = $$ ] && echo leads')).toBe('leads');
    expect(await output('grep -E "Sig(Blk|Ign)" /proc/self/status | cut -f2 | sort -u')).toBe(
      '0000000000000000',
    );
  });

  it('that ends by a signal', async () => {
    expect(await shell('kill -SEGV $$').result).toMatchObject({ exitCode: null, signal: 'SIGSEGV' });
  });

  it('that cannot be started: EXEC_FAILED with the step that failed and the guest’s errno', async () => {
    const failed = (argv: [string, ...string[]], cwd = '/'): Promise<unknown> =>
      client.exec({ argv, cwd }).result.catch((error: unknown) => error);
    const code = 'MICROVM_EXEC_FAILED';
    const at = (step: string, errno: string) => ({ code, details: { step, errno } });
    expect(await failed(['no-such-program'])).toMatchObject(at('exec', 'ENOENT'));
    expect(await failed(['/etc/passwd'])).toMatchObject(at('exec', 'EACCES'));
    expect(await failed(['true', 'x'.repeat(200_000)])).toMatchObject(at('exec', 'E2BIG'));
    expect(await failed(['true'], '/no/such/place')).toMatchObject(at('cwd', 'ENOENT'));
    expect(await failed(['true'], '/etc/passwd')).toMatchObject(at('cwd', 'ENOTDIR'));
  });

  it('more often at once than the agent takes: all of them run', async () => {
    const results = Array.from({ length: 300 }, () => client.exec({ argv: ['cat'], input: 'x' }).result);
    for (const { stdout } of await Promise.all(results)) expect(stdout.toString()).toBe('x');
  });

  it('fifty times at once, each with its own input and output', async () => {
    const numbers = Array.from({ length: 50 }, (_, index) => index);
    const results = await Promise.all(
      numbers.map(
        (n) => client.exec({ argv: ['sh', '-c', 'cat; seq 1 $1', 'sh', `${n}`], input: `${n}:` }).result,
      ),
    );
    const expected = numbers.map(
      (n) =>
        `${n}:${numbers
          .slice(1, n + 1)
          .map((line) => `${line}\n`)
          .join('')}`,
    );
    expect(results.map(({ stdout }) => stdout.toString())).toEqual(expected);
  });

  it('to its reported end although a grandchild keeps the output open', async () => {
    expect(await output('sleep 1000 & echo done')).toBe('done');
  });

  it('whose input it did not want', async () => {
    const input = Buffer.alloc(4 << 20, 'x');
    expect(await client.exec({ argv: ['true'], input }).result).toMatchObject({ exitCode: 0 });
    const closing = client.exec({ argv: ['sh', '-c', 'exec <&-; echo closed; sleep 1000'] });
    expect(await firstLine(closing)).toBe('closed');
    const broken = new Promise((resolve) => closing.stdin.once('error', resolve));
    closing.stdin.write(input);
    expect(await broken).toMatchObject({ code: 'EPIPE' });
  });

  it('that is given 16 MiB by writes', async () => {
    const digest = createHash('sha256');
    const summing = client.exec({ argv: ['sh', '-c', 'sleep 0.05; sha256sum'] });
    for (let at = 0; at < 256; at++) {
      const chunk = Buffer.alloc(65_536, at);
      digest.update(chunk);
      if (!summing.stdin.write(chunk)) await new Promise((resolve) => summing.stdin.once('drain', resolve));
    }
    summing.stdin.end();
    expect((await summing.result).stdout.toString()).toContain(digest.digest('hex'));
  });

  it('with 64 MiB of output and a slow reader, without loss and without filling the host', async () => {
    const piece = randomBytes(1 << 20);
    const dir = mkdtempSync(join(tmpdir(), 'microvm-agent-'));
    onTestFinished(() => {
      rmSync(dir, { recursive: true });
    });
    writeFileSync(join(dir, 'piece'), piece);
    const process = shell('for i in $(seq 64); do cat "$1"; done', join(dir, 'piece'));
    const expected = createHash('sha256');
    for (let turn = 0; turn < 64; turn++) expected.update(piece);
    const digest = createHash('sha256');
    let received = 0;
    for await (const { data } of process) {
      digest.update(data);
      const isFirst = received === 0;
      received += data.length;
      if (!isFirst) continue;
      const before = agent.port.bytesFromGuest;
      // Nobody reads meanwhile: what arrives more than one window is nothing but the pongs.
      for (let ping = 0; ping < 20; ping++) await client.ping();
      expect(agent.port.bytesFromGuest - before).toBeLessThan(OUTPUT_WINDOW + 64 * 1024);
    }
    expect(received).toBe(64 << 20);
    expect(digest.digest('hex')).toBe(expected.digest('hex'));
  });

  it('until OUTPUT_LIMIT, and ends it in the guest', async () => {
    const process = client.exec({ argv: ['sh', '-c', 'echo $$ >&2; exec yes'], maxOutputBytes: 100_000 });
    await expect(process.result).rejects.toMatchObject({
      code: 'MICROVM_OUTPUT_LIMIT',
      details: { stream: 'stdout', limitBytes: 100_000 },
    });
    expect(await output('ps -e -o comm= | grep -c yes')).toBe('0');
  });
});

describe.skipIf(problem !== undefined)('the real agent ends', () => {
  const family = 'sleep 1000 & echo $!; wait';

  it('a whole process group by kill', async () => {
    const process = shell(family);
    const grandchild = await firstLine(process);
    await process.kill();
    expect(await process.result).toMatchObject({ exitCode: null, signal: 'SIGTERM' });
    await untilGone(grandchild);
  });

  it('a command that was killed at once after its start', async () => {
    for (let round = 0; round < 20; round++) {
      const process = shell('sleep 1000');
      await process.kill('SIGKILL');
      expect(await process.result).toMatchObject({ signal: 'SIGKILL' });
    }
  });

  it('a whole process group when its signal aborts', async () => {
    const abort = new AbortController();
    const process = client.exec({ argv: ['sh', '-c', `trap '' TERM; ${family}`], signal: abort.signal });
    const grandchild = await firstLine(process);
    abort.abort(new Error('enough'));
    await expect(process.result).rejects.toThrow('enough');
    await untilGone(grandchild);
  });

  it('a command whose time is up', async () => {
    await expect(client.exec({ argv: ['sleep', '1000'], timeoutMs: 50 }).result).rejects.toMatchObject({
      code: 'MICROVM_TIMEOUT',
    });
    expect(await output('ps -e -o comm= | grep -c sleep')).toBe('0');
  });

  it('nothing when a command has already ended', async () => {
    const process = shell('exit 0');
    await process.result;
    await process.kill('SIGKILL');
  });
});
