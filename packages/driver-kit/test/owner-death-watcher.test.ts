import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  searchProcesses,
  spawnProcess,
  watcherPath,
  watchProcess,
  type ProcessIdentity,
  type SpawnedProcess,
} from '@microvm/native';
import { describe, expect, it, onTestFinished } from 'vitest';
import { OwnerDeathWatcher } from '../src/process/owner-death-watcher.js';

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kit-watcher-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Stands for a VMM, with the folder of its VM. */
async function makeWard(
  folder: string,
  name: string,
): Promise<{ process: SpawnedProcess; directory: string }> {
  const directory = join(folder, name);
  await mkdir(directory);
  const sleeper = await spawnProcess({ file: 'sleep', args: ['1000'] });
  onTestFinished(() => void sleeper.kill('SIGKILL'));
  return { process: sleeper.ref(), directory };
}

/**
 * The only watcher that this process has started and that is not `earlier`; waits until the kernel shows its
 * arguments.
 */
async function ownWatcher(earlier?: ProcessIdentity): Promise<ProcessIdentity> {
  let own: readonly ProcessIdentity[] = [];
  const look = async (): Promise<number> => (own = await ownWatchers(earlier)).length;
  await expect.poll(look).toBe(1);
  const [only] = own;
  if (only === undefined) throw new Error('no watcher has been started');
  return only;
}

async function ownWatchers(earlier: ProcessIdentity | undefined): Promise<ProcessIdentity[]> {
  const own: ProcessIdentity[] = [];
  for (const found of (await searchProcesses({ argument: watcherPath() })).found) {
    const status = await readFile(`/proc/${found.pid}/status`, 'utf8').catch(() => '');
    if (found.pid !== earlier?.pid && status.includes(`PPid:\t${process.pid}\n`)) own.push(found);
  }
  return own;
}

describe('OwnerDeathWatcher', () => {
  it('ends what is on its list when our end of the line is closed, with its folder', async () => {
    const folder = await makeFolder();
    const watcher = new OwnerDeathWatcher();
    const [kept, doomed] = [await makeWard(folder, 'kept'), await makeWard(folder, 'doomed')];
    await watcher.add(kept.process.identity, kept.directory);
    await watcher.add(doomed.process.identity, doomed.directory);
    await watcher.remove(kept.process.identity);
    await watcher.close();
    expect(await doomed.process.exited).toEqual({ exitCode: null, signal: 'SIGKILL' });
    expect(await readdir(folder)).toEqual(['kept']);
    expect(kept.process.kill(0)).toBe(true);
  });

  it('comes back when it is killed, and knows what it was told', async () => {
    const folder = await makeFolder();
    const watcher = new OwnerDeathWatcher();
    const ward = await makeWard(folder, 'ward');
    await watcher.add(ward.process.identity, ward.directory);
    const first = await ownWatcher();
    watchProcess(first).kill('SIGKILL');
    await ownWatcher(first);
    await watcher.ready();
    await watcher.close();
    expect((await ward.process.exited).signal).toBe('SIGKILL');
    expect(await readdir(folder)).toEqual([]);
  });

  it('closes at once where it was never needed', async () => {
    await new OwnerDeathWatcher().close();
    expect(await ownWatchers(undefined)).toEqual([]);
  });
});
