import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExecProcess, ExecRequest } from '@microvm/runtime';
import { AgentClient } from '../src/client.js';
import { RealAgent, whyNoNamespaces } from './real-agent.js';

const problem = whyNoNamespaces();
if (problem !== undefined) console.warn(`SKIPPED: the real agent's terminals: ${problem}`);

const SIZE = { cols: 80, rows: 24 };

let agent: RealAgent;
let client: AgentClient;

/** A command on a terminal, and what was shown on it so far. */
class Shown {
  readonly process: ExecProcess;
  readonly reading: Promise<void>;
  text = '';

  constructor(script: string, request: Partial<ExecRequest> = {}) {
    const process = client.exec({ argv: ['sh', '-c', script], pty: SIZE, ...request });
    this.process = process;
    this.reading = (async () => {
      for await (const { stream, data } of process) {
        expect(stream).toBe('stdout');
        this.text += data.toString();
      }
    })();
  }

  async until(pattern: RegExp): Promise<void> {
    await expect.poll(() => this.text).toMatch(pattern);
  }

  type(keys: string): void {
    this.process.stdin.write(keys);
  }

  async end(): Promise<unknown> {
    await this.reading;
    return this.process.result;
  }
}

/** Until the job is in the foreground a key would be the shell's. */
async function untilInForeground(): Promise<void> {
  const states = async (): Promise<string> => {
    const { stdout } = await client.exec({ argv: ['ps', '-e', '-o', 'comm=', '-o', 'stat='] }).result;
    return stdout.toString();
  };
  await expect.poll(states).toMatch(/sleep +S\+/);
}

describe.skipIf(problem !== undefined)('a terminal of the real agent', () => {
  beforeEach(async () => {
    agent = new RealAgent();
    client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
  });

  afterEach(async () => {
    client.close();
    await agent.stop();
  });

  it('is the command’s controlling terminal, of the size and the kind that were asked for', async () => {
    const script =
      'stty size; echo $TERM; tty; echo x > /dev/tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all';
    const shown = new Shown(script, { pty: { ...SIZE, term: 'xterm-256color' } });
    expect(await shown.end()).toMatchObject({ exitCode: 0 });
    expect(shown.text).toMatch(/^24 80\r\nxterm-256color\r\n\/dev\/pts\/\d+\r\nx\r\nall\r\n$/);
  });

  it('tells of each new size, also of one from before its start', async () => {
    const shown = new Shown('trap "stty size" WINCH; stty size; while :; do sleep 0.01; done');
    shown.process.resize({ cols: 100, rows: 30 });
    await shown.until(/30 100/);
    shown.process.resize({ cols: 132, rows: 50 });
    await shown.until(/50 132/);
    await shown.process.kill('SIGKILL');
    expect(await shown.end()).toMatchObject({ signal: 'SIGKILL' });
  });

  it('echoes what is typed, edits the line, and makes Ctrl-C a signal', async () => {
    const shown = new Shown('read line; echo "<$line>"; exec cat');
    shown.type('ab\u007fc\r');
    await shown.until(/<ac>/);
    shown.type('typed\n');
    await shown.until(/typed\r\ntyped\r\n/);
    shown.type('\u0003');
    expect(await shown.end()).toMatchObject({ exitCode: null, signal: 'SIGINT' });
    expect(shown.text).toMatch(/\^C$/);
  });

  it('stops a job by Ctrl-Z and lets it go on', async () => {
    const shown = new Shown('exec bash --norc --noprofile -i', {
      env: { PS1: '> ', PATH: process.env['PATH'] ?? '' },
    });
    await shown.until(/> $/);
    shown.type('sleep 1000\r');
    await shown.until(/sleep 1000\r\n/);
    await untilInForeground();
    shown.type('\u001a');
    await shown.until(/Stopped +sleep 1000/);
    shown.type('jobs\r');
    await shown.until(/jobs\r\n.*Stopped/s);
    shown.type('fg\r');
    await untilInForeground();
    shown.type('\u0003');
    await shown.until(/\^C[^]*> $/);
    shown.type('exit 7\r');
    expect(await shown.end()).toMatchObject({ exitCode: 7 });
  });

  it.each([
    ['abc', 'abcabc'],
    ['abc\n', 'abc\r\nabc\r\n'],
  ])('takes the end of the input for its end of file, after %j too', async (input, text) => {
    const { stdout } = await client.exec({ argv: ['cat'], pty: SIZE, input }).result;
    expect(stdout.toString()).toBe(text);
  });

  it('loses nothing of a long output, with a slow reader', async () => {
    const process = client.exec({ argv: ['seq', '200000'], pty: SIZE });
    const pieces: Buffer[] = [];
    for await (const { data } of process) {
      pieces.push(data);
      if (pieces.length < 4) for (let ping = 0; ping < 10; ping++) await client.ping();
    }
    const expected = Array.from({ length: 200_000 }, (_, index) => `${index + 1}\r\n`).join('');
    expect(Buffer.concat(pieces).toString()).toBe(expected);
    expect(await process.result).toMatchObject({ exitCode: 0 });
  });

  it('is not there without a pty, and has no other size then', async () => {
    const process = client.exec({ argv: ['sh', '-c', 'tty'], input: '' });
    expect(() => process.resize(SIZE)).toThrow(expect.objectContaining({ code: 'MICROVM_INVALID_ARGUMENT' }));
    expect((await process.result).stdout.toString()).toBe('not a tty\n');
  });

  it('ends with its command, whatever the command left on it', async () => {
    const shown = new Shown('(trap "" HUP; exec sleep 1000) & echo left $!');
    await shown.until(/left \d+/);
    expect(await shown.end()).toMatchObject({ exitCode: 0 });
  });
});
