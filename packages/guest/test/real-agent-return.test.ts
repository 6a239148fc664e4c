import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecProcess, GuestCommand } from '@microvm/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RealAgent, whyNoNamespaces } from './real-agent.js';
import { ReturningGuest } from './returning-guest.js';

const RING_BYTES = 256 * 1024;
const problem = whyNoNamespaces();

let agent: RealAgent;
let guest: ReturningGuest;
let dir: string;

function begin(awaitMs?: number): void {
  agent = new RealAgent(undefined, awaitMs === undefined ? {} : { awaitMs });
  guest = new ReturningGuest(() => agent.port.plug());
}

const shell = (script: string): readonly [string, ...string[]] => ['sh', '-c', script, 'sh', dir];
const listed = async (): Promise<readonly GuestCommand[]> => (await guest.client()).commands();
const digest = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

/** All that is read of stdout, cut `cuts` times on the way. */
async function readWithCuts(process: ExecProcess, cuts: number, everyBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let left = cuts;
  let bytes = 0;
  for await (const { data, offset, missingBytes } of process) {
    expect({ offset, missingBytes }).toEqual({ offset: bytes, missingBytes: 0 });
    chunks.push(data);
    bytes += data.length;
    if (left > 0 && bytes > everyBytes * (cuts - left + 1)) {
      left -= 1;
      await guest.cut();
    }
  }
  expect(left).toBe(0);
  return Buffer.concat(chunks);
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'microvm-return-'));
  if (problem === undefined) begin();
});
afterEach(async () => {
  if (problem === undefined) {
    await guest.close();
    await agent.stop();
  }
  rmSync(dir, { recursive: true });
});

describe.skipIf(problem !== undefined)('a reader of a command of the real agent', () => {
  it('that loses its session again and again gets all of the output, and each byte once', async () => {
    const data = randomBytes(16 << 20);
    writeFileSync(join(dir, 'data'), data);
    const process = guest.exec({ argv: ['cat', join(dir, 'data')] });
    expect(digest(await readWithCuts(process, 20, 700_000))).toBe(digest(data));
    expect(await process.result).toMatchObject({ exitCode: 0 });
    expect(await listed()).toEqual([]);
  });

  it('sends all of its input, and each byte once', async () => {
    const data = randomBytes(4 << 20);
    const process = guest.exec({ argv: shell('cat > $1/copy; echo done') });
    let isRead = false;
    const result = process.result.finally(() => (isRead = true));
    process.stdin.end(data);
    let cuts = 0;
    for (; !isRead && cuts < 30; cuts++) {
      await guest.cut();
      // Behind this answer the agent has read what was sent again.
      await listed();
    }
    expect((await result).stdout.toString()).toBe('done\n');
    expect(digest(readFileSync(join(dir, 'copy')))).toBe(digest(data));
    expect(cuts).toBeGreaterThan(1);
  });

  it('learns how the command ended, whenever it ended', async () => {
    for (let round = 0; round < 20; round++) {
      const process = guest.exec({ argv: shell(`echo out; echo err >&2; exit ${round}`) });
      const { result } = process;
      await guest.cut();
      expect(await result).toEqual({
        exitCode: round,
        signal: null,
        stdout: Buffer.from('out\n'),
        stderr: Buffer.from('err\n'),
      });
    }
    await expect.poll(listed).toEqual([]);
  });

  it('has started its command once, whether the start arrived before the session was lost or not', async () => {
    const results: Promise<unknown>[] = [];
    for (let round = 0; round < 40; round++) {
      results.push(guest.exec({ argv: shell(`echo ${round} >> $1/started`), input: '' }).result);
      // The frames of some rounds are still to be sent when the channel is cut, those of others were read.
      if (round % 2 === 0) await new Promise(setImmediate);
      await guest.cut();
    }
    await Promise.all(results);
    const started = readFileSync(join(dir, 'started'), 'utf8').trim().split('\n').map(Number);
    expect(started.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, round) => round));
  });

  it('kills, resizes and types after its return as before it', async () => {
    const script = 'read a; echo got $a; read b; stty size; exec cat';
    const process = guest.exec({ argv: shell(script), pty: { cols: 80, rows: 24 } });
    const ended = process.result;
    process.stdin.write('one\r');
    await expect.poll(() => process.collected.stdout.toString()).toContain('got one');
    await guest.cut();
    process.resize({ cols: 132, rows: 50 });
    process.stdin.write('two\r');
    await expect.poll(() => process.collected.stdout.toString()).toContain('50 132');
    await guest.cut();
    await process.kill('SIGKILL');
    expect(await ended).toMatchObject({ signal: 'SIGKILL' });
  });

  it('that gives its command up between two sessions ends it all the same', async () => {
    const abort = new AbortController();
    const process = guest.exec({ argv: shell('echo begun; exec sleep 1000'), signal: abort.signal });
    const ended = process.result.catch((reason: unknown) => reason);
    await expect.poll(() => process.collected.stdout.toString()).toBe('begun\n');
    const cutting = guest.cut();
    abort.abort('enough');
    expect(await ended).toBe('enough');
    await cutting;
    await expect.poll(listed).toEqual([]);
  });
});

describe.skipIf(problem !== undefined)('a detached command of the real agent', () => {
  it('runs without a reader, is listed, and is read by its id from the first byte', async () => {
    const command = await guest.start({ detached: true, argv: shell('cat; echo err >&2'), input: 'in' });
    expect(command.id).toMatch(/^[0-9a-f]{16}$/);
    await expect
      .poll(listed)
      .toMatchObject([
        { id: command.id, state: 'ended', exitCode: 0, pid: null, isDetached: true, hasReader: false },
      ]);
    await guest.cut();
    expect(await guest.attach(command.id).result).toEqual({
      exitCode: 0,
      signal: null,
      stdout: Buffer.from('in'),
      stderr: Buffer.from('err\n'),
      missingBytes: { stdout: 0, stderr: 0 },
    });
    await expect.poll(listed).toEqual([]);
    const again = await guest.attach(command.id).result.catch((error: unknown) => error);
    expect(again).toMatchObject({ code: 'MICROVM_EXEC_FAILED', details: { step: 'attach', errno: 'ESRCH' } });
  });

  it('whose ring was overrun tells the gap, to who iterates and to who awaits', async () => {
    const bytes = 3 * RING_BYTES + 12_345;
    const data = randomBytes(bytes);
    writeFileSync(join(dir, 'data'), data);
    for (const how of ['iterate', 'await'] as const) {
      const { id } = await guest.start({ detached: true, argv: ['cat', join(dir, 'data')] });
      await expect.poll(listed).toMatchObject([{ id, state: 'ended' }]);
      const missing = bytes - RING_BYTES;
      expect((await listed())[0]?.kept.stdout).toEqual({ from: missing, to: bytes });
      const process = guest.attach(id);
      const kept: Buffer[] = [];
      if (how === 'await') {
        const result = await process.result;
        expect(result.missingBytes).toEqual({ stdout: missing, stderr: 0 });
        kept.push(result.stdout);
      } else {
        let at = 0;
        for await (const chunk of process) {
          expect(chunk.missingBytes).toBe(at === 0 ? missing : 0);
          expect(chunk.offset).toBe(at + chunk.missingBytes);
          at = chunk.offset + chunk.data.length;
          kept.push(chunk.data);
        }
        expect(at).toBe(bytes);
      }
      expect(digest(Buffer.concat(kept))).toBe(digest(data.subarray(missing)));
    }
  });

  it('has one reader at a time, which may leave it where it stands, and another goes on there', async () => {
    const command = await guest.start({ detached: true, argv: shell('cat; cat') });
    const { id } = command;
    const first = guest.attach(id);
    const reading = first[Symbol.asyncIterator]();
    first.stdin.write('one');
    expect(await reading.next()).toMatchObject({ value: { data: Buffer.from('one'), offset: 0 } });
    const refused = await guest.attach(id).result.catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'MICROVM_GUEST_BUSY', retryable: true });
    const from = await first.detach();
    expect(from).toEqual({ stdout: 3, stderr: 0 });
    expect(await reading.next()).toEqual({ done: true, value: undefined });
    await expect(first.result).rejects.toMatchObject({ details: { step: 'detach' } });
    const second = guest.attach(id, { from });
    const ended = second.result;
    second.stdin.write('two');
    await expect.poll(() => second.collected.stdout.toString()).toBe('two');
    await command.kill('SIGKILL');
    expect(await ended).toMatchObject({ exitCode: null, signal: 'SIGKILL' });
  });

  it('that cannot be started rejects, and one that is aborted before it runs is not left behind', async () => {
    const missing = guest.start({ detached: true, argv: ['/no/such/program'] });
    await expect(missing).rejects.toMatchObject({ code: 'MICROVM_EXEC_FAILED', details: { step: 'exec' } });
    const aborted = guest.start({ detached: true, argv: ['cat'], signal: AbortSignal.abort('no') });
    await expect(aborted).rejects.toBe('no');
    expect(await listed()).toEqual([]);
  });

  it('gets all of an input that is sent while the session is lost again and again', async () => {
    const data = randomBytes(2 << 20);
    let isStarted = false;
    const starting = guest
      .start({ detached: true, argv: shell('cat > $1/copy'), input: data })
      .finally(() => (isStarted = true));
    while (!isStarted) {
      await guest.cut();
      await listed();
    }
    const { id } = await starting;
    expect(await guest.attach(id).result).toMatchObject({ exitCode: 0 });
    expect(digest(readFileSync(join(dir, 'copy')))).toBe(digest(data));
  });

  it('and others are listed in pages, in the order of their starts', async () => {
    const ids: string[] = [];
    for (let count = 0; count < 150; count++) {
      ids.push((await guest.start({ detached: true, argv: ['sleep', '1000'], input: '' })).id);
    }
    expect((await listed()).map(({ id }) => id)).toEqual(ids);
  });
});

describe.skipIf(problem !== undefined)('a command of the real agent whose host never returns', () => {
  it('goes on without a reader and without an input, and its end is kept for whoever asks', async () => {
    await guest.close();
    await agent.stop();
    begin(0);
    const process = guest.exec({ argv: shell('cat; head -c 1000000 /dev/zero; echo end; exit 7') });
    await expect.poll(listed).toMatchObject([{ state: 'running', isDetached: false, hasReader: true }]);
    const { id } = process;
    await guest.close();
    guest = new ReturningGuest(() => agent.port.plug());
    await expect.poll(listed).toMatchObject([{ id, state: 'ended', exitCode: 7 }]);
    const result = await guest.attach(id).result;
    expect(result.missingBytes?.stdout).toBe(1_000_004 - RING_BYTES);
    expect(result.stdout.subarray(-5).toString()).toBe('\0end\n');
  });

  it('holds up what it writes until then', async () => {
    const process = guest.exec({ argv: shell('cat; head -c 1000000 /dev/zero'), input: '' });
    await expect.poll(async () => (await listed())[0]?.kept.stdout.to).toBeGreaterThan(0);
    const { id } = process;
    await guest.close();
    guest = new ReturningGuest(() => agent.port.plug());
    // Each answer of the agent is one more turn in which it could have gone on.
    for (let turn = 0; turn < 100; turn++) expect(await listed()).toMatchObject([{ id, state: 'running' }]);
    expect((await guest.attach(id).result).stdout).toHaveLength(1_000_000);
  });

  it('leaves at most 64 ends behind', async () => {
    const ids: string[] = [];
    for (let count = 0; count < 70; count++) {
      ids.push((await guest.start({ detached: true, argv: ['true'], input: '' })).id);
    }
    await expect.poll(async () => (await listed()).every(({ state }) => state === 'ended')).toBe(true);
    await expect.poll(async () => (await listed()).length).toBe(64);
  });
});
