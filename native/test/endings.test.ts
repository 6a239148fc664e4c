import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { deleteNetns, killCgroup } from '../dist/index.js';
import * as cgroups from './cgroup-fixture.js';
import { possibleCalls } from './every-call.mjs';
import { temporaryFolder, type Finished } from './fixture.js';
import * as network from './network-fixture.js';

const hasNetwork = (await network.reasonForSkip()) === undefined;
const cgroupMount = cgroups.reasonForSkip() === undefined ? cgroups.cgroupMount() : undefined;
const script = fileURLToPath(new URL('ending.mjs', import.meta.url));

/**
 * What calls that were cut off have left on the host: it is theirs by its name, and goes as after a crash.
 */
async function sweep(folder: string, pid: number): Promise<void> {
  for (const name of readdirSync(folder).filter((file) => /^(ns|slot)-|^shared-ns$/.test(file)))
    await deleteNetns(join(folder, name));
  if (cgroupMount === undefined) return;
  for (const name of readdirSync(cgroupMount).filter((file) => file.startsWith(`microvm-loop-${pid}-`)))
    await killCgroup(join(cgroupMount, name));
}

/** What a call gives its name only when it is whole. */
function halfMade(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true }) as string[];
  return names.filter((name) => /(^|\/)\.tmp-/.test(name));
}

function run(name: string, folder: string): Promise<Finished> {
  const args = ['--expose-gc', script, folder, name, cgroupMount ?? '-', String(hasNetwork)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await sweep(folder, child.pid ?? 0);
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return new Promise((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, output }));
  });
}

describe('garbage collection, the end of a worker and of the process in the middle of', () => {
  test.each(Object.keys(possibleCalls({ cgroupMount, hasNetwork })))('%s', async (name) => {
    const folder = temporaryFolder();
    expect(await run(name, folder)).toEqual({ code: 7, signal: null, output: 'survived\n' });
    expect(halfMade(folder)).toEqual([]);
  });
});
