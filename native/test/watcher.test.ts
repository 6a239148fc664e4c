import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  spawnProcess,
  watcherPath,
  watchProcess,
  type ProcessIdentity,
  type SpawnedProcess,
} from '../dist/index.js';
import { runNode, temporaryFolder } from './fixture.js';

async function sleeper(): Promise<SpawnedProcess> {
  const child = await spawnProcess({ file: 'sleep', args: ['1000'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

// An owner that starts a watcher over a FIFO, tells it the lines and waits to be killed.
const OWNER = `
  import { mkdirSync, openSync, writeSync } from 'node:fs';
  import { execFileSync } from 'node:child_process';
  const [folder, lines] = process.argv.slice(1);
  execFileSync('mkfifo', [folder + '/pipe']);
  const both = openSync(folder + '/pipe', 'r+');
  const reader = openSync(folder + '/pipe', 'r');
  const writer = openSync(folder + '/pipe', 'w');
  const log = openSync(folder + '/log', 'w');
  const watcher = await native.spawnProcess({ file: native.watcherPath(), fds: [null, log, log, reader] });
  (await import('node:fs')).closeSync(both);
  (await import('node:fs')).closeSync(reader);
  writeSync(writer, lines);
  console.log('watcher', JSON.stringify(watcher.identity));
  setInterval(() => {}, 1000);
`;

async function startOwner(
  folder: string,
  lines: string,
): Promise<{ kill: () => Promise<void>; watcher: ProcessIdentity }> {
  const owner = runNode(OWNER, [folder, lines]);
  let text = '';
  owner.child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await owner.sees('}');
  const watcher = JSON.parse(text.slice(text.indexOf('{'))) as ProcessIdentity;
  onTestFinished(() => void watchProcess(watcher).kill('SIGKILL'));
  const kill = async (): Promise<void> => {
    owner.child.kill('SIGKILL');
    await owner.finished;
  };
  return { kill, watcher };
}

test('kills and removes what is listed when its owner is killed', async () => {
  const folder = temporaryFolder();
  const listed = await sleeper();
  const taken = await sleeper();
  const reused = await sleeper();
  const keep = join(folder, 'keep');
  mkdirSync(keep);
  writeFileSync(join(keep, 'file'), 'x');
  for (const name of ['vm1', 'vm2', 'vm3']) mkdirSync(join(folder, name, 'disks'), { recursive: true });
  symlinkSync(keep, join(folder, 'vm1', 'link'));
  const line = ({ pid, startTime }: ProcessIdentity, name: string): string =>
    `add ${pid} ${startTime} ${join(folder, name)}\n`;
  const lines = [
    line(listed.identity, 'vm1'),
    line(taken.identity, 'vm2'),
    `del ${taken.identity.pid}\n`,
    line({ ...reused.identity, startTime: '1' }, 'vm3'),
    'nonsense\n',
  ];
  const { kill, watcher } = await startOwner(folder, lines.join(''));
  const ended = watchProcess(watcher).ref();
  expect(listed.kill(0)).toBe(true);
  await kill();
  await ended.exited;
  expect(await listed.ref().exited).toEqual({ exitCode: null, signal: 'SIGKILL' });
  expect(taken.kill(0)).toBe(true);
  expect(reused.kill(0)).toBe(true);
  expect(['vm1', 'vm2', 'vm3', 'keep/file'].map((name) => existsSync(join(folder, name)))).toEqual([
    false,
    true,
    false,
    true,
  ]);
  expect(readFileSync(join(folder, 'log'), 'utf8')).toBe('microvm-watcher: 1 lines ignored\n');
});

test('a terminal cannot stop it and it has its own session', async () => {
  const folder = temporaryFolder();
  const { kill, watcher } = await startOwner(folder, '');
  const watch = watchProcess(watcher).ref();
  const ignored = (): string => readFileSync(`/proc/${watcher.pid}/status`, 'utf8');
  await expect.poll(ignored).toMatch(/SigIgn:\t0*[1-9a-f]/);
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGTERM', 'SIGTSTP'] as const)
    expect(watch.kill(signal)).toBe(true);
  expect(watch.kill(0)).toBe(true);
  const [, , , , , session] = readFileSync(`/proc/${watcher.pid}/stat`, 'utf8').split(' ');
  expect(Number(session)).toBe(watcher.pid);
  await kill();
  const { exitCode } = await watch.exited;
  expect([0, 'unknown']).toContain(exitCode);
});

test('is a static executable', () => {
  const fd = openSync(watcherPath(), 'r');
  closeSync(fd);
  expect(readFileSync(watcherPath()).includes('/ld-linux')).toBe(false);
});
