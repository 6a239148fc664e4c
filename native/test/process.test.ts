import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { bootId, processIdentity, searchProcesses, spawnProcess, type FoundProcess } from '../dist/index.js';
import { rejection, temporaryFolder } from './fixture.js';

async function output(script: string, options: object = {}): Promise<string> {
  const file = join(temporaryFolder(), 'output');
  const fd = openSync(file, 'w');
  const child = await spawnProcess({
    file: '/bin/sh',
    args: ['-c', script],
    fds: [null, fd, fd],
    ...options,
  });
  closeSync(fd);
  await child.ref().exited;
  return readFileSync(file, 'utf8');
}

test('identifies processes by pid, start time and boot', () => {
  const self = processIdentity(process.pid);
  expect(self).toMatchObject({ pid: process.pid, bootId: bootId() });
  expect(self?.startTime).toMatch(/^\d+$/);
  expect(bootId()).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  expect(processIdentity(2 ** 22 + 1)).toBeUndefined();
});

test('reports exit code and signal of a child', async () => {
  const failed = await spawnProcess({ file: 'sh', args: ['-c', 'exit 7'] });
  expect(await failed.ref().exited).toEqual({ exitCode: 7, signal: null });
  const killed = await spawnProcess({ file: 'sleep', args: ['1000'] });
  expect(processIdentity(killed.identity.pid)).toEqual(killed.identity);
  expect(killed.kill('SIGTERM')).toBe(true);
  expect(await killed.ref().exited).toEqual({ exitCode: null, signal: 'SIGTERM' });
  expect(killed.kill('SIGTERM')).toBe(false);
  expect(existsSync(`/proc/${killed.identity.pid}`)).toBe(false);
});

test('gives the child a session of its own and no descriptor but those given', async () => {
  const stray = spawn('/bin/sleep', ['1000'], { stdio: ['pipe', 'pipe', 'pipe'] });
  onTestFinished(() => void stray.kill('SIGKILL'));
  const text = await output('ls /proc/$$/fd | tr "\\n" " "; cut -d" " -f1,5,6 /proc/$$/stat');
  const [, fds, pid, group, session] = /^((?:\d+ )+?)(\d+) (\d+) (\d+)\n$/.exec(text) ?? [];
  expect(fds?.trim().split(' ').slice(0, 3)).toEqual(['0', '1', '2']);
  expect(fds?.trim().split(' ').length).toBeLessThanOrEqual(4);
  expect([group, session]).toEqual([pid, pid]);
});

test('passes arguments, environment, directory and limits', async () => {
  const folder = temporaryFolder();
  expect(
    await output('echo "$0|$1|$A|$B"; pwd; ulimit -n', {
      args: ['-c', 'echo "$1|$A|$B"; pwd; ulimit -n', 'x', 'ä b'],
      env: { A: '1', B: undefined },
      cwd: folder,
      limits: { openFiles: 99 },
    }),
  ).toBe(`ä b|1|\n${folder}\n99\n`);
  expect(await output('test -n "$PATH" && echo inherited')).toBe('inherited\n');
});

test('the caller may close its descriptors at once', async () => {
  const file = join(temporaryFolder(), 'f');
  const fd = openSync(file, 'w');
  const started = spawnProcess({ file: 'echo', args: ['late'], fds: [null, fd] });
  closeSync(fd);
  await (await started).ref().exited;
  expect(readFileSync(file, 'utf8')).toBe('late\n');
});

test.each([
  [{ file: '/no/such' }, { code: 'ENOENT', errno: -2, syscall: 'execve', path: '/no/such' }],
  [
    { file: '/bin/true', cwd: '/no/such' },
    { code: 'ENOENT', errno: -2, syscall: 'chdir', path: '/no/such' },
  ],
  [
    { file: '/bin/true', netns: '/dev/null' },
    { code: 'EINVAL', errno: -22, syscall: 'setns', path: '/dev/null' },
  ],
  [
    { file: '/bin/true', cgroup: '/no/such' },
    { code: 'ENOENT', errno: -2, syscall: 'open', path: '/no/such' },
  ],
  [
    { file: '/bin/true', fds: [98765] },
    { code: 'EBADF', errno: -9, syscall: 'fcntl' },
  ],
])('a failed start names its step: %j', async (options, expected) => {
  expect(await rejection(spawnProcess(options))).toMatchObject(expected);
});

test.each([
  undefined,
  {},
  { file: '' },
  { file: 'a\0b' },
  { file: 'true', args: 'x' },
  { file: 'true', args: [1] },
  { file: 'true', env: null },
  { file: 'true', fds: [-2] },
  { file: 'true', fds: [0.5] },
  { file: 'true', uid: -1 },
  { file: 'true', uid: 2 ** 32 - 1 },
  { file: 'true', limits: { openFiles: NaN } },
  { file: 'true', limits: 5 },
])('wrong options are a TypeError at once: %j', (options) => {
  // @ts-expect-error wrong on purpose
  expect(() => spawnProcess(options)).toThrow(TypeError);
});

test('wrong signals and pids are a TypeError', async () => {
  const child = await spawnProcess({ file: 'sleep', args: ['1000'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  // @ts-expect-error wrong on purpose
  expect(() => child.kill('SIGNONE')).toThrow(TypeError);
  expect(() => child.kill(65)).toThrow(TypeError);
  expect(child.kill(0)).toBe(true);
  for (const pid of [0, -1, 1.5, NaN, 2 ** 31]) expect(() => processIdentity(pid)).toThrow(TypeError);
});

async function argumentsWith(argument: string): Promise<readonly FoundProcess[]> {
  return (await searchProcesses({ argument })).found;
}

test('finds processes by a part of one argument, not itself', async () => {
  const needle = `needle-${process.pid}-${Date.now()}`;
  const child = await spawnProcess({ file: 'sh', args: ['-c', 'kill -STOP $$; true', `--name=${needle}x`] });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await child.exited;
  });
  // The kernel shows the arguments a moment after the exec.
  const expected = { ...child.identity, args: ['sh', '-c', 'kill -STOP $$; true', `--name=${needle}x`] };
  await expect.poll(() => argumentsWith(needle)).toMatchObject([expected]);
  expect(await argumentsWith(`${needle}y`)).toEqual([]);
  expect((await argumentsWith(process.execPath)).map(({ pid }) => pid)).not.toContain(process.pid);
  expect(() => searchProcesses({ argument: '' })).toThrow(TypeError);
});

test('children of node:child_process are left to it', async () => {
  const exits = Array.from({ length: 20 }, async (_, index) => {
    const theirs = spawn('/bin/sh', ['-c', `exit ${index}`]);
    const code = new Promise((resolve) => theirs.on('exit', resolve));
    const ours = await spawnProcess({ file: '/bin/sh', args: ['-c', `exit ${index}`] });
    expect(await code).toBe(index);
    expect((await ours.ref().exited).exitCode).toBe(index);
  });
  await Promise.all(exits);
});
