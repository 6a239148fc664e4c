import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { spawnProcess, type ProcessIdentity, type SpawnedProcess } from '@microvm/native';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { surveyVmms, vmmsOf, type VmmCommandLines } from '../src/process/find-vmms.js';

const VMM: VmmCommandLines = {
  mark: 'kit-test-vmm',
  instanceIdOf: (args) => (args.includes('kit-test-vmm') ? args.at(-1) : undefined),
};

/** A process that lives until the end of the test, with these words in its command line. */
async function start(...words: string[]): Promise<SpawnedProcess> {
  const script = 'setInterval(() => {}, 1e6)';
  const child = await spawnProcess({ file: process.execPath, args: ['-e', script, '--', ...words] });
  onTestFinished(async () => {
    child.ref().kill('SIGKILL');
    await child.exited;
  });
  // The kernel shows the command line of a new program some moments after it closed the old one's descriptors (seen on 6.18).
  await vi.waitFor(async () =>
    expect(await readFile(`/proc/${child.identity.pid}/cmdline`, 'utf8')).not.toBe(''),
  );
  return child;
}

const newId = (): string => randomBytes(16).toString('hex');
const pids = (found: readonly ProcessIdentity[]): number[] => found.map(({ pid }) => pid);

describe('vmmsOf', () => {
  it('finds a VMM by its command line alone, and no process that only names the instance', async () => {
    const instanceId = newId();
    const vmm = await start('kit-test-vmm', instanceId);
    await start('an-editor', instanceId);
    await start('kit-test-vmm', newId());
    expect(await vmmsOf(VMM, instanceId, undefined)).toEqual([vmm.identity]);
  });

  it('adds the one that was recorded, once, while that lives', async () => {
    const instanceId = newId();
    const named = await start('kit-test-vmm', instanceId);
    const recorded = await start('renamed');
    const found = await vmmsOf(VMM, instanceId, recorded.identity);
    expect(pids(found)).toEqual([recorded.identity.pid, named.identity.pid]);
    expect(pids(await vmmsOf(VMM, instanceId, named.identity))).toEqual([named.identity.pid]);
    const earlier = { ...recorded.identity, startTime: '1' };
    expect(pids(await vmmsOf(VMM, instanceId, earlier))).toEqual([named.identity.pid]);
  });
});

describe('surveyVmms', () => {
  it('answers the instances of those that are ours', async () => {
    const [mine, other] = [newId(), newId()];
    const vmm = await start('kit-test-vmm', mine);
    await start('kit-test-vmm', other);
    const found = await surveyVmms(VMM, async ({ pid }) => pid === vmm.identity.pid);
    expect(found).toEqual(new Set([mine]));
  });
});
