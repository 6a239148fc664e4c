import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import * as native from '../dist/index.js';
import * as cgroups from './cgroup-fixture.js';
import { EVERY_CALL, possibleCalls } from './every-call.mjs';
import { openDescriptors, temporaryFolder } from './fixture.js';
import * as network from './network-fixture.js';

/** As often without an abort as with one in the middle: a thousand in all. */
const ROUNDS = 500;
/** What a heap that is still being warmed up may grow by; a leak of 20 KiB a call is more. */
const MAX_GROWTH_KIB = 20_000;

const hasNetwork = (await network.reasonForSkip()) === undefined;
const cgroupMount = cgroups.reasonForSkip() === undefined ? cgroups.cgroupMount() : undefined;
if (cgroupMount === undefined) console.warn('skipped: loops with cgroups, none can be made here');
const names = Object.keys(possibleCalls({ cgroupMount, hasNetwork }));

interface Held {
  readonly descriptors: number;
  readonly threads: number;
  readonly children: number;
  readonly temporaryFiles: number;
  readonly residentKib: number;
}

interface Loop {
  readonly before: Held;
  readonly after: Held;
  readonly ends: { readonly done: number; readonly aborted: number; readonly failed: readonly string[] };
}

function runLoop(name: string): Promise<Loop> {
  const script = fileURLToPath(new URL('leak-loop.mjs', import.meta.url));
  const args = [temporaryFolder(), name, String(ROUNDS), cgroupMount ?? '-', String(hasNetwork)];
  const child = spawn(process.execPath, ['--expose-gc', script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(output) as Loop);
      else reject(new Error(`the loop ended with ${String(code)}: ${output}`));
    });
  });
}

/** What has no promise, and so nothing that could be aborted. */
const SYNCHRONOUS = [
  'processIdentity',
  'bootId',
  'watchProcess',
  'closeDescriptor',
  'socketPair',
  'openPipe',
  'sendDescriptors',
  'watcherPath',
];

/** These have a loop of their own, in tree-streams.test.ts. */
const STREAMS = ['TreeFeed', 'TreeSource'];

test('every call of the package is in the loops', () => {
  const all = Object.entries(native).filter(([, value]) => typeof value === 'function');
  expect([...Object.keys(EVERY_CALL), ...SYNCHRONOUS, ...STREAMS].sort()).toEqual(
    all.map(([name]) => name).sort(),
  );
});

describe('a thousand calls leave no descriptor, thread, process, file or memory', () => {
  test.each(names)('%s', async (name) => {
    const { before, after, ends } = await runLoop(name);
    expect(ends.failed).toEqual([]);
    // Both happened, else the loop shows nothing.
    expect(ends.done).toBeGreaterThanOrEqual(ROUNDS);
    expect(ends.aborted).toBeGreaterThan(0);
    const { residentKib, ...held } = after;
    const { residentKib: residentBefore, ...heldBefore } = before;
    for (const key of Object.keys(heldBefore) as (keyof typeof held)[])
      expect(held[key], key).toBeLessThanOrEqual(heldBefore[key]);
    expect(residentKib - residentBefore).toBeLessThan(MAX_GROWTH_KIB);
  });
});

test('nor do a thousand of those that return no promise', async () => {
  const folder = temporaryFolder();
  const listener = await native.listenUnix(join(folder, 's'));
  const socket = await native.connectUnix(join(folder, 's'));
  const own = native.processIdentity(process.pid);
  if (own === undefined) throw new Error('we are not there');
  const use = (): void => {
    native.watchProcess(own).close();
    native.watchProcess({ ...own, startTime: '1' }).close();
    expect(native.processIdentity(process.pid)).toEqual(own);
    expect(native.bootId()).toBe(own.bootId);
    expect(native.watcherPath()).toMatch(/microvm-watcher$/);
    for (const fd of native.socketPair()) native.closeDescriptor(fd);
    const pipe = native.openPipe();
    for (const fd of [pipe.read, pipe.write]) native.closeDescriptor(fd);
    expect(() => native.closeDescriptor(987_654)).toThrow('EBADF');
    expect(() => native.sendDescriptors(socket, Buffer.from('x'), [987_654])).toThrow('EBADF');
  };
  use();
  const before = openDescriptors();
  for (let round = 0; round < 1000; ++round) use();
  // A watch that was closed is let go of by its thread.
  await expect.poll(openDescriptors).toBeLessThanOrEqual(before);
  closeSync(socket);
  closeSync(listener);
});
