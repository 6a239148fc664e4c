import { join } from 'node:path';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { listenVsock, waitForSocket, type VsockListener } from '@microvm/native';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { interleave } from '../interleave.js';
import { quantile } from '../statistics.js';
import { TemporaryFolder } from '../temporary-folder.js';
import { inHand, sinceReady, VsockAgents, type InHand } from '../vsock-agents.js';

const POLL_MS = 50;
const PORT = 1024;
const MANY = 1000;

/** How the agents of one sample come up. */
interface Arrival {
  readonly atOnce: number;
  /** Each comes up at its own moment within this time; 0: all in one go. */
  readonly spreadMs: number;
  readonly turns: number;
}

interface Side {
  readonly agents: VsockAgents;
  readonly folder: string;
}

let paths = 0;

function newPath({ folder }: Side): string {
  paths += 1;
  return join(folder, `v${String(paths)}`);
}

/** One agent dials out to a socket that was bound before it began. */
async function byDialOut({ agents }: Side, listening: VsockListener, delayMs: number): Promise<InHand> {
  const ready = listening.accept();
  agents.begin({ way: 'dial-out', path: listening.path, delayMs });
  return inHand(await ready);
}

function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket)).once('error', () => resolve(undefined));
  });
}

/**
 * One agent listens; the host tries to connect each 50 ms, from a moment that has nothing to do with the
 * agent's.
 */
async function byPolling(side: Side, path: string, delayMs: number): Promise<InHand> {
  side.agents.begin({ way: 'listen', path, delayMs });
  await delay(Math.random() * POLL_MS);
  while (true) {
    const stream = await connected(path);
    if (stream !== undefined) return inHand(stream);
    await delay(POLL_MS);
  }
}

async function p99(
  { atOnce, spreadMs, turns }: Arrival,
  agent: (delayMs: number) => Promise<InHand>,
): Promise<number> {
  const took: number[] = [];
  for (let turn = 0; turn < turns; turn += 1) {
    const delays = Array.from({ length: atOnce }, () => Math.random() * spreadMs);
    // What they say is read when all are there, so that it holds up none.
    const all = await Promise.all(delays.map(agent));
    took.push(...(await Promise.all(all.map(sinceReady))));
  }
  return quantile(
    took.toSorted((a, b) => a - b),
    0.99,
  );
}

function listen(side: Side, count: number): Promise<VsockListener[]> {
  return Promise.all(Array.from({ length: count }, () => listenVsock({ path: newPath(side), port: PORT })));
}

async function closeAll(listeners: readonly VsockListener[]): Promise<void> {
  await Promise.all(listeners.map((listening) => listening.close()));
}

async function dialOutP99(side: Side, arrival: Arrival): Promise<number> {
  const listeners = await listen(side, arrival.atOnce * arrival.turns);
  const unused = listeners.values();
  const next = (): VsockListener => unused.next().value as VsockListener;
  const value = await p99(arrival, (delayMs) => byDialOut(side, next(), delayMs));
  await closeAll(listeners);
  return value;
}

async function readyRow(side: Side, name: string, arrival: Arrival, pairs: number): Promise<Measurement> {
  const samples = await interleave(
    () => dialOutP99(side, arrival),
    () => p99(arrival, (delayMs) => byPolling(side, newPath(side), delayMs)),
    { pairs, warmups: 1 },
  );
  return {
    name: `vsock ready, p99: ${name}`,
    unit: 'ms',
    ours: { label: 'the agent dials out', samples: samples.ours },
    theirs: { label: `connect each ${String(POLL_MS)} ms`, samples: samples.theirs },
    aim: { kind: 'ratio', atMost: 1 / 20 },
    parameters: { ...arrival, pairs },
  };
}

/** Per cent of a core that this process takes while it does nothing but wait. */
async function cpuPercent(forMs: number): Promise<number> {
  const startedAt = performance.now();
  const before = process.cpuUsage();
  await delay(forMs);
  const { user, system } = process.cpuUsage(before);
  return ((user + system) / 1000 / (performance.now() - startedAt)) * 100;
}

async function waitingRow(side: Side, quick: boolean): Promise<Measurement> {
  const forMs = quick ? 200 : 2000;
  const pairs = quick ? 2 : 7;
  const waiting = async (): Promise<number> => {
    const listeners = await listen(side, MANY);
    const accepts = listeners.map((listening) => listening.accept().catch(() => undefined));
    // Ends when all of them have been taken up.
    await waitForSocket({ path: newPath(side), deadline: 0 }).catch(() => undefined);
    const percent = await cpuPercent(forMs);
    await closeAll(listeners);
    await Promise.all(accepts);
    return percent;
  };
  const samples = await interleave(waiting, () => cpuPercent(forMs), { pairs, warmups: 1 });
  const more = samples.ours.map((percent, pair) => percent - (samples.theirs[pair] ?? Number.NaN));
  return {
    name: `processor while ${String(MANY)} agents are waited for, more than an idle loop`,
    unit: '% of a core',
    ours: { label: 'waits pending', samples: more },
    aim: { kind: 'value', atMost: 2 },
    parameters: { waits: MANY, forMs, pairs },
  };
}

async function nativeVsockRows({ quick, log }: BenchRun): Promise<readonly Measurement[]> {
  await using folder = await TemporaryFolder.make();
  using agents = await VsockAgents.start();
  const side = { agents, folder: folder.path };
  const pairs = quick ? 2 : 5;
  const one = { atOnce: 1, spreadMs: 2 * POLL_MS, turns: quick ? 5 : 100 };
  const many = { atOnce: quick ? 50 : MANY, spreadMs: quick ? 500 : 5000, turns: 1 };
  const rows: Measurement[] = [];
  log('native-vsock: one agent at a time');
  rows.push(await readyRow(side, 'one', one, pairs));
  log(`native-vsock: ${String(many.atOnce)} agents, each at its own moment`);
  rows.push(await readyRow(side, `${String(many.atOnce)} waited for at once`, many, pairs));
  log(`native-vsock: ${String(many.atOnce)} agents in one go`);
  rows.push(await readyRow(side, `${String(many.atOnce)} in one go`, { ...many, spreadMs: 0 }, pairs));
  log('native-vsock: processor time while nothing happens');
  rows.push(await waitingRow(side, quick));
  return rows;
}

export const nativeVsock: Dimension = {
  name: 'native-vsock',
  description: 'An agent that dials out, from its connect to the stream in hand, against polling.',
  needsQemu: false,
  run: nativeVsockRows,
};
