import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DriverVm, VmEnding } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { reasonFromConsole } from '../src/index.js';
import { endedBeforeReady, Ending, endingOfGone, endingWithHost } from '../src/vm/ending.js';

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kit-ending-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

describe('endedBeforeReady', () => {
  // SAFETY: of a VM it reads the name alone.
  const vm = { vmId: 'vm' } as DriverVm;
  const ending = { reason: 'power-off', exitCode: 0, signal: null } as const;

  it('says why the agent found no root, by the last line that tells', () => {
    const lastLogLines = [
      'microvm-agent: cannot boot: an earlier life',
      'microvm-agent: cannot boot: /dev/vdb: not a squashfs',
      'microvm-agent: farewell power-off',
    ];
    const error = endedBeforeReady(vm, { ...ending, lastLogLines });
    expect(error.details).toEqual({ vmId: 'vm', reason: 'it ended by itself: /dev/vdb: not a squashfs' });
    expect(error.message).toContain('before it was ready: /dev/vdb: not a squashfs\n');
  });

  it('names the ending where no line tells', () => {
    const error = endedBeforeReady(vm, { ...ending, lastLogLines: ['other'] });
    expect(error.details).toEqual({ vmId: 'vm', reason: 'it ended by itself: power-off' });
  });
});

describe('Ending', () => {
  it('is what the first says who learns of it, with the last lines of the logs', async () => {
    const folder = await makeFolder();
    await writeFile(join(folder, 'console.log'), 'last words\n');
    const ending = new Ending(folder);
    expect(ending.hasEnded).toBe(false);
    ending.settle(async () => 'reboot', { exitCode: 0, signal: null });
    const late: string[] = [];
    ending.settle(async () => (late.push('looked for a reason'), 'vmm-exit'), { exitCode: 1, signal: null });
    expect(late).toEqual([]);
    expect(ending.hasEnded).toBe(true);
    expect(await ending.ended).toEqual({
      reason: 'reboot',
      exitCode: 0,
      signal: null,
      lastLogLines: ['last words'],
    });
  });

  it('is one all the same where the logs cannot be read', async () => {
    const folder = await makeFolder();
    await mkdir(join(folder, 'console.log'));
    const known = new Ending(folder);
    known.settle('panic', { exitCode: null, signal: 'SIGKILL' });
    expect(await known.ended).toMatchObject({ reason: 'panic', signal: 'SIGKILL', lastLogLines: [] });
    const sought = new Ending(folder);
    sought.settle(() => reasonFromConsole(folder).then((reason) => reason ?? 'power-off'));
    expect(await sought.ended).toMatchObject({ reason: 'vmm-exit', lastLogLines: [] });
  });

  it('is told once, also to who asks late, and not when it is asked for', async () => {
    const told: VmEnding[] = [];
    const late = new Ending(await makeFolder());
    late.settle('panic');
    await late.ended;
    late.onUnasked((ending) => told.push(ending));
    late.onUnasked((ending) => told.push(ending));
    await late.ended;
    expect(told).toHaveLength(1);
    const asked = new Ending(await makeFolder());
    asked.onUnasked((ending) => told.push(ending));
    asked.expect();
    asked.settle('power-off');
    await asked.ended;
    expect(told).toHaveLength(1);
  });
});

it('the end of a VMM of an earlier boot is lost, whatever its console says', async () => {
  const folder = await makeFolder();
  await writeFile(join(folder, 'console.log'), 'microvm-agent: farewell power-off\n');
  expect(await endingWithHost(folder)).toMatchObject({
    reason: 'lost',
    lastLogLines: ['microvm-agent: farewell power-off'],
  });
});

describe('endingOfGone', () => {
  it('is what the guest said on its console, else that nobody knows', async () => {
    const folder = await makeFolder();
    expect(await endingOfGone(folder)).toMatchObject({ reason: 'lost', exitCode: 'unknown' });
    await writeFile(join(folder, 'console.log'), 'microvm-agent: farewell power-off\n');
    expect(await endingOfGone(folder)).toMatchObject({
      reason: 'power-off',
      lastLogLines: ['microvm-agent: farewell power-off'],
    });
  });

  it('is lost where the console cannot be read', async () => {
    const folder = await makeFolder();
    await mkdir(join(folder, 'console.log'));
    expect(await endingOfGone(folder)).toMatchObject({ reason: 'lost', lastLogLines: [] });
  });
});
