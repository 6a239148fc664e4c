import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnProcess, type ProcessIdentity, type SpawnedProcess, type SpawnOptions } from '@microvm/native';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ownUser, surveyVmms, vmmsOf, type WantedVmm } from '../src/process/find-vmms.js';

const MARK = 'kit-test-vmm';
const NOBODY = 65_534;
const isRoot = ownUser() === 0;

/** A process that lives until the end of the test, with these words in its command line. */
async function start(words: readonly string[], options: Partial<SpawnOptions> = {}): Promise<SpawnedProcess> {
  const child = await spawnProcess({
    file: process.execPath,
    args: ['-e', 'setInterval(() => {}, 1e6)', '--', ...words],
    ...options,
  });
  onTestFinished(async () => {
    child.ref().kill('SIGKILL');
    await child.exited;
  });
  // The kernel shows the command line of a new program some moments after it closed the old one's descriptors
  // (seen on 6.18).
  await expect.poll(() => readFile(`/proc/${child.identity.pid}/cmdline`, 'utf8')).not.toBe('');
  return child;
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kit-vmms-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const newId = (): string => randomBytes(16).toString('hex');
const pids = (found: readonly ProcessIdentity[]): number[] => found.map(({ pid }) => pid);
const instanceIdOf = (args: readonly string[]): string | undefined =>
  args.includes(MARK) ? args.at(-1) : undefined;

function wanted(instanceId: string, cwd: string, recorded?: ProcessIdentity): WantedVmm {
  return {
    recorded,
    place: { uid: ownUser(), cwd },
    isVmm: (args) => instanceIdOf(args) === instanceId,
  };
}

describe('the VMMs of a VM', () => {
  it('are found in its place by their command lines, where none was recorded', async () => {
    const [instanceId, cwd] = [newId(), await makeFolder()];
    const vmm = await start([MARK, instanceId], { cwd });
    await start(['an-editor', instanceId], { cwd });
    await start([MARK, newId()], { cwd });
    await start([MARK, instanceId], { cwd: await makeFolder() });
    expect(await vmmsOf(wanted(instanceId, cwd))).toEqual([vmm.identity]);
  });

  it('are the recorded one alone while it lives, whatever its command line says', async () => {
    const [instanceId, cwd] = [newId(), await makeFolder()];
    const named = await start([MARK, instanceId], { cwd });
    const recorded = await start(['renamed'], { cwd });
    expect(pids(await vmmsOf(wanted(instanceId, cwd, recorded.identity)))).toEqual([recorded.identity.pid]);
    expect(pids(await vmmsOf(wanted(instanceId, cwd, named.identity)))).toEqual([named.identity.pid]);
    const earlier = { ...recorded.identity, startTime: '1' };
    expect(pids(await vmmsOf(wanted(instanceId, cwd, earlier)))).toEqual([named.identity.pid]);
  });

  it('are none in a copy of the state directory: the recorded one works in the original', async () => {
    const [instanceId, original, copy] = [newId(), await makeFolder(), await makeFolder()];
    const recorded = await start([MARK, instanceId], { cwd: original });
    expect(await vmmsOf(wanted(instanceId, copy, recorded.identity))).toEqual([]);
  });

  it('are found by their user alone when their folder was removed', async () => {
    const [instanceId, cwd] = [newId(), await makeFolder()];
    const recorded = await start([MARK, instanceId], { cwd });
    await rm(cwd, { recursive: true });
    expect(await vmmsOf(wanted(instanceId, cwd, recorded.identity))).toEqual([recorded.identity]);
    expect(await vmmsOf(wanted(instanceId, cwd))).toEqual([]);
  });

  it.runIf(isRoot)(
    'are never those of another user, wherever they are and whatever they are called',
    async () => {
      const [instanceId, cwd] = [newId(), await makeFolder()];
      const decoy = await start([MARK, instanceId], { cwd, uid: NOBODY, gid: NOBODY });
      const vmm = await start([MARK, instanceId], { cwd });
      expect(pids(await vmmsOf(wanted(instanceId, cwd)))).toEqual([vmm.identity.pid]);
      expect(pids(await vmmsOf(wanted(instanceId, cwd, decoy.identity)))).toEqual([vmm.identity.pid]);
    },
  );
});

describe('a survey', () => {
  it('answers the instances of those that are ours', async () => {
    const [mine, other] = [newId(), newId()];
    const vmm = await start([MARK, mine]);
    await start([MARK, other]);
    const query = { uid: ownUser(), argument: MARK };
    const found = await surveyVmms(query, instanceIdOf, ({ pid }) => pid === vmm.identity.pid);
    expect(found).toEqual(new Set([mine]));
  });
});
