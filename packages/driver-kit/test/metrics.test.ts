import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processIdentity, type ProcessIdentity } from '@microvm/native';
import { afterEach, describe, expect, it } from 'vitest';
import { cgroupMetrics, processMetrics } from '../src/index.js';

const children: ChildProcess[] = [];
const folders: string[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

/** A process that has burnt a tenth of a second of CPU time, and says so. */
async function busyProcess(): Promise<ProcessIdentity> {
  const script =
    'while (process.cpuUsage().user < 100000); process.stdout.write("done"); setInterval(() => {}, 1e6)';
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  children.push(child);
  await once(child.stdout, 'data');
  return processIdentity(child.pid ?? 0) as ProcessIdentity;
}

describe('the figures of a process', () => {
  it('are those that the kernel has', async () => {
    const identity = await busyProcess();
    const metrics = await processMetrics(identity);
    const status = await readFile(`/proc/${identity.pid}/status`, 'utf8');
    expect(metrics?.threadCount).toBe(Number(/^Threads:\s+(\d+)$/m.exec(status)?.[1]));
    expect(metrics?.residentBytes).toBeGreaterThan(10 * 1024 * 1024);
    expect(metrics?.userUs).toBeGreaterThanOrEqual(90_000);
    expect(metrics?.openFileCount).toBeGreaterThan(3);
  });

  it('are not to be had of another process that has its pid now', async () => {
    const identity = await busyProcess();
    expect(await processMetrics({ ...identity, startTime: '1' })).toBeUndefined();
  });

  it('are not to be had of one that is gone', async () => {
    const identity = await busyProcess();
    const [child] = children;
    child?.kill('SIGKILL');
    if (child !== undefined) await once(child, 'exit');
    expect(await processMetrics(identity)).toBeUndefined();
  });
});

/** A folder like a cgroup with all controllers; the texts were copied from Linux 6.1. */
const FILES = {
  'cpu.stat':
    'usage_usec 2300\nuser_usec 1500\nsystem_usec 800\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n',
  'memory.current': '4096\n',
  'memory.peak': '8192\n',
  'memory.events': 'low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n',
  'pids.current': '5\n',
  'io.stat':
    '8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n253:0 rbytes=5 wbytes=0 rios=1 wios=0 dbytes=9 dios=9\n',
};

async function folderWith(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cgroup-metrics-'));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

describe('the figures of a cgroup', () => {
  it('are of all its controllers, of all disks together', async () => {
    expect(await cgroupMetrics(await folderWith(FILES))).toEqual({
      cpu: { usageUs: 2300, userUs: 1500, systemUs: 800 },
      memory: { currentBytes: 4096, peakBytes: 8192, oomKillCount: 1 },
      pids: { current: 5 },
      io: { readBytes: 15, writeBytes: 20, readCount: 2, writeCount: 2 },
    });
  });

  it('leave out what there is no controller for', async () => {
    const { 'cpu.stat': cpu } = FILES;
    expect(await cgroupMetrics(await folderWith({ 'cpu.stat': cpu }))).toEqual({
      cpu: { usageUs: 2300, userUs: 1500, systemUs: 800 },
    });
  });

  it('are not to be had where there is none', async () => {
    expect(await cgroupMetrics(join(await folderWith({}), 'gone'))).toBeUndefined();
  });
});
