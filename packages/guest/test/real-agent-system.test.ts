import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExecProcess } from '@microvm/runtime';
import { AgentClient } from '../src/client.js';
import { encodeFrame, makeFrame } from '../src/codec.js';
import { newCommandId } from '../src/command-id.js';
import { encodeExec, encodeHello } from '../src/messages.js';
import { FrameType, HEADER_SIZE, PREAMBLE } from '../src/protocol.js';
import { encodeMark } from '../src/sync.js';
import { RealAgent, whyNoNamespaces } from './real-agent.js';

const execBody = (argv: readonly [string, ...string[]], cwd = '/'): Buffer =>
  encodeExec({
    id: newCommandId(),
    isDetached: false,
    argv,
    env: {},
    cwd,
    user: '',
    rlimits: {},
    pty: undefined,
    secrets: {},
  }).body;

const problem = whyNoNamespaces();

let agent: RealAgent;
let client: AgentClient;
let dir: string;

const connect = (): Promise<AgentClient> =>
  AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
const shell = (script: string, ...args: string[]): ExecProcess =>
  client.exec({ argv: ['sh', '-c', script, 'sh', ...args] });

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'microvm-agent-'));
  if (problem !== undefined) return;
  agent = new RealAgent();
  client = await connect();
});

afterEach(async () => {
  if (problem === undefined) {
    client.close();
    await agent.stop();
  }
  // Its commands wrote there until now.
  rmSync(dir, { recursive: true });
});

/** A command that makes a file grow for ever; resolves once it has begun. */
async function startCounter(): Promise<() => number> {
  const path = join(dir, 'counter');
  const process = shell('printf x > "$1"; echo ready; while :; do printf x >> "$1"; done', path);
  for await (const { data } of process) {
    expect(data.toString()).toBe('ready\n');
    break;
  }
  return () => statSync(path).size;
}

async function untilGrown(count: () => number): Promise<void> {
  const before = count();
  while (count() === before) await client.ping();
}

describe.skipIf(problem !== undefined)('the real agent, frozen', () => {
  it('has really stopped the workload, and it goes on after the thaw', async () => {
    const count = await startCounter();
    await untilGrown(count);
    await client.freeze();
    const frozen = count();
    expect((await client.ping()).isFrozen).toBe(true);
    for (let turn = 0; turn < 200; turn++) await client.ping();
    expect(count()).toBe(frozen);
    await client.freeze();
    await client.thaw();
    await untilGrown(count);
  });

  it('comes to rest also in the middle of a vfork, whose parent waits for a child that is stopped', async () => {
    const starters = Array.from({ length: 4 }, () => shell('while :; do /bin/true; done'));
    for (let turn = 0; turn < 200; turn++) {
      await client.freeze({ timeoutMs: 600_000 });
      await client.thaw();
    }
    for (const starter of starters) await starter.kill('SIGKILL');
    for (const starter of starters) expect(await starter.result).toMatchObject({ signal: 'SIGKILL' });
  });

  it('tells the figures of its system, as its /proc has them', async () => {
    await client.freeze();
    const first = await client.metrics();
    const later = await client.metrics();
    await client.thaw();
    expect(later.uptimeMs).toBeGreaterThanOrEqual(first.uptimeMs);
    expect(first.memory.totalBytes).toBe(totalmem());
    expect(first.cpu.count).toBe(cpus().length);
    // The processes of its own PID namespace.
    expect(first.processCount).toBeLessThan(5);
  });

  it('starts nothing before the thaw, but a command can be killed', async () => {
    const process = shell('sleep 1000');
    await client.freeze();
    const late = shell('echo late').result;
    await expect(client.exec({ argv: ['true'], timeoutMs: 20 }).result).rejects.toMatchObject({
      code: 'MICROVM_GUEST_BUSY',
    });
    await process.kill('SIGKILL');
    expect(await process.result).toMatchObject({ signal: 'SIGKILL' });
    await client.thaw();
    expect((await late).stdout.toString()).toBe('late\n');
  });

  it('stays so when a step of the thaw fails, and says which', async () => {
    const count = await startCounter();
    await client.freeze();
    const frozen = count();
    // In namespaces of its own it has no right to the host's clock and random pool.
    await expect(client.thaw({ epoch: 2, wallClockMs: 1 })).rejects.toMatchObject({
      step: 'clock',
      errno: 'EPERM',
    });
    await expect(client.thaw({ epoch: 2, entropy: Buffer.alloc(32) })).rejects.toMatchObject({
      step: 'entropy',
      errno: 'EPERM',
    });
    expect(await client.ping()).toMatchObject({ isFrozen: true, epoch: 1 });
    expect(count()).toBe(frozen);
    await client.thaw({ epoch: 2, hostname: 'renamed' });
    await untilGrown(count);
    expect((await shell('uname -n').result).stdout.toString()).toBe('renamed\n');
  });

  it('begins a new epoch: older streams are gone, the commands run on', async () => {
    const count = await startCounter();
    const process = shell('sleep 1000');
    const outcome = expect(process.result).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    await client.freeze();
    await client.thaw({ epoch: 7 });
    await outcome;
    expect(await client.ping()).toMatchObject({ epoch: 7 });
    await untilGrown(count);
    await expect(client.thaw({ epoch: 6 })).rejects.toMatchObject({ step: 'epoch', errno: 'EINVAL' });
  });

  it('answers SET_CLOCK that it is not permitted to', async () => {
    await expect(client.setClock(Date.now())).rejects.toMatchObject({
      name: 'AgentFailure',
      operation: 'setClock',
      errno: 'EPERM',
    });
  });
});

describe.skipIf(problem !== undefined)('the real agent takes leave', () => {
  it('when the host shuts it down: SIGTERM first, then SIGKILL, then farewell and end', async () => {
    const path = join(dir, 'flushed');
    const gentle = shell(
      'trap "echo flushed > $1; exit 0" TERM; echo ready; while :; do sleep 0.01; done',
      path,
    );
    const stubborn = shell('trap "" TERM; echo ready; while :; do sleep 0.01; done');
    for (const process of [gentle, stubborn])
      for await (const { data } of process) if (data.length > 0) break;
    await client.shutdown('poweroff', { graceMs: 200 });
    expect(await client.farewell).toEqual({ reason: 'shutdown', action: 'poweroff' });
    expect(await gentle.result).toMatchObject({ exitCode: 0 });
    expect(await stubborn.result).toMatchObject({ signal: 'SIGKILL' });
    expect(statSync(path).size).toBeGreaterThan(0);
    await client.closed;
    await agent.exited;
  });

  it('at once when nothing runs', async () => {
    await client.shutdown('reboot', { graceMs: 600_000 });
    expect(await client.farewell).toEqual({ reason: 'shutdown', action: 'reboot' });
  });

  it.each([
    ['poweroff', 'USR2', { reason: 'power-off', action: 'poweroff' }],
    ['halt', 'USR1', { reason: 'power-off', action: 'poweroff' }],
    ['reboot', 'TERM', { reason: 'reboot', action: 'reboot' }],
    ['Ctrl-Alt-Del', 'INT', { reason: 'shutdown', action: 'reboot' }],
  ])('of its own accord after %s', async (_name, signal, farewell) => {
    shell(`kill -${signal} 1`);
    expect(await client.farewell).toEqual(farewell);
    await agent.exited;
  });

  it('from a frozen guest without letting it run another step', async () => {
    const count = await startCounter();
    await client.freeze();
    const frozen = count();
    await client.shutdown('poweroff');
    expect(await client.farewell).toEqual({ reason: 'shutdown', action: 'poweroff' });
    expect(count()).toBe(frozen);
  });
});

describe.skipIf(problem !== undefined)('the real agent’s port', () => {
  it('is taken over by the next client, wherever the one before was cut off', async () => {
    const count = await startCounter();
    for (let round = 0; round < 10; round++) {
      // Output under way to the host, and a frame under way to the guest that never ends.
      client.exec({ argv: ['head', '-c', '300000', '/dev/zero'] });
      const unfinished = encodeFrame(
        makeFrame(FrameType.open, 90, 1, execBody(['touch', join(dir, 'never')])),
      );
      agent.port.unplug();
      agent.port.inject(unfinished.subarray(0, 1 + round * 9));
      const next = await connect();
      expect(await next.exec({ argv: ['echo', `${round}`] }).result).toMatchObject({
        stdout: Buffer.from(`${round}\n`),
      });
      client = next;
    }
    await untilGrown(count);
    expect((await shell('ls "$1"', dir).result).stdout.toString()).toBe('counter\n');
  });

  it('finds a mark whose first bytes completed a frame that was cut off', async () => {
    for (let missing = 1; missing <= PREAMBLE.length; missing++) {
      const frame = encodeFrame(makeFrame(FrameType.ping, 1_000, 1));
      const longer = encodeFrame(makeFrame(FrameType.data, 1_000, 1, Buffer.alloc(64)));
      agent.port.unplug();
      agent.port.inject(missing <= HEADER_SIZE ? longer.subarray(0, longer.length - missing) : frame);
      client = await connect();
    }
    expect(await client.ping()).toBeDefined();
  });

  it('survives anything that a host may send, tells it, and serves the next client', async () => {
    const session = Buffer.alloc(16, 9);
    const hello = encodeHello({ session, lowestVersion: 2, highestVersion: 2, outputWindow: 65_536 });
    const open = Buffer.concat([encodeMark(session), encodeFrame(makeFrame(FrameType.hello, 0, 0, hello))]);
    const bad = [
      makeFrame(FrameType.open, 1, 1, Buffer.from([255, 255, 1, 0, 0, 0])),
      makeFrame(FrameType.open, 1, 1, execBody(['true'], 'relative')),
      makeFrame(FrameType.open, 1, 1),
      makeFrame(FrameType.open, 1, 1, Buffer.of(99)),
      makeFrame(FrameType.resize, 1, 1, Buffer.of(0, 0, 0, 0)),
      makeFrame(FrameType.data, 5, 1, Buffer.from('x')),
      makeFrame(FrameType.credit, 1, 1, Buffer.alloc(5)),
      makeFrame(FrameType.signal, 2, 1, Buffer.from([1, 0, 0, 0, 200])),
      makeFrame(FrameType.freeze, 1, 1),
      makeFrame(FrameType.thaw, 1, 1, Buffer.alloc(3)),
      makeFrame(FrameType.setClock, 1, 1, Buffer.alloc(8)),
      makeFrame(FrameType.shutdown, 1, 1, Buffer.from([7, 0, 0, 0, 0])),
      makeFrame(FrameType.ping, 1, 99),
      makeFrame(FrameType.ping, 0, 1),
      makeFrame(FrameType.hello, 0, 1, hello),
      makeFrame(FrameType.data1, 1, 1, Buffer.from('x')),
    ];
    for (const frame of bad) {
      agent.port.unplug();
      agent.port.inject(Buffer.concat([open, encodeFrame(frame)]));
      client = await connect();
      expect(await client.ping()).toMatchObject({ epoch: 1 });
      const closed = client.farewell;
      agent.port.inject(Buffer.from('noise that is no frame at all'));
      // The RESET ends this client as well.
      await client.closed;
      expect(await closed).toBeUndefined();
      client = await connect();
    }
  });

  it('carries input that holds the preamble of a mark', async () => {
    const input = Buffer.concat([
      Buffer.alloc(100, 'a'),
      PREAMBLE,
      PREAMBLE,
      Buffer.alloc(70_000, 'b'),
      PREAMBLE,
    ]);
    const { stdout } = await client.exec({ argv: ['cat'], input }).result;
    expect(stdout.equals(input)).toBe(true);
  });
});
