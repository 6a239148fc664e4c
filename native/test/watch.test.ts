import { spawn } from 'node:child_process';
import { expect, onTestFinished, test } from 'vitest';
import { bootId, processIdentity, watchProcess, type ProcessIdentity } from '../dist/index.js';
import { openDescriptors, runNode } from './fixture.js';

/** A process that is not our child: made by a shell that has ended. */
async function stranger(script: string): Promise<ProcessIdentity> {
  const shell = spawn('/bin/sh', ['-c', `(${script}) >/dev/null 2>&1 & echo $!`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let text = '';
  shell.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await new Promise((resolve) => shell.on('close', resolve));
  const identity = processIdentity(Number(text));
  if (identity === undefined) throw new Error(`no process ${text}`);
  onTestFinished(() => {
    watchProcess(identity).kill('SIGKILL');
  });
  return identity;
}

test('sees the end of a process that is not a child', async () => {
  const watch = watchProcess(await stranger('exec sleep 1000'));
  expect(watch.kill('SIGKILL')).toBe(true);
  const { exitCode, signal } = await watch.ref().exited;
  // Newer kernels tell; older ones say that they do not know.
  expect([
    [null, 'SIGKILL'],
    ['unknown', null],
  ]).toContainEqual([exitCode, signal]);
  expect(watch.kill('SIGKILL')).toBe(false);
});

test('never takes another process for one with the same pid', async () => {
  const identity = await stranger('exec sleep 1000');
  for (const other of [
    { ...identity, startTime: `${identity.startTime}0` },
    { ...identity, bootId: '00000000-0000-0000-0000-000000000000' },
    { ...identity, pid: 2 ** 22 + 1 },
  ]) {
    const watch = watchProcess(other);
    expect(watch.kill('SIGKILL')).toBe(false);
    expect(await watch.exited).toEqual({ exitCode: 'unknown', signal: null });
  }
  expect(processIdentity(identity.pid)).toEqual(identity);
});

test('a closed watch says nothing more and frees its descriptor', async () => {
  const identity = await stranger('exec sleep 1000');
  const before = openDescriptors();
  const watch = watchProcess(identity).ref();
  let reported = false;
  void watch.exited.then(() => (reported = true));
  watch.close();
  watch.close();
  expect(openDescriptors()).toBe(before);
  expect(watch.kill('SIGKILL')).toBe(false);
  const other = watchProcess(identity);
  other.kill('SIGKILL');
  await other.ref().exited;
  expect(reported).toBe(false);
});

test('many watches of one process all see its end', async () => {
  const identity = await stranger('exec sleep 1000');
  const watches = Array.from({ length: 50 }, () => watchProcess(identity).ref());
  watches[0]?.kill('SIGKILL');
  await Promise.all(watches.map(({ exited }) => exited));
});

test('a watch of a child of node:child_process leaves the exit code to it', async () => {
  const child = spawn('/bin/sh', ['-c', 'read x; exit 5'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const identity = processIdentity(child.pid ?? 0);
  const watch = watchProcess(identity ?? { pid: 1, startTime: '', bootId: bootId() }).ref();
  const theirs = new Promise((resolve) => child.on('exit', resolve));
  child.stdin.end();
  expect(await theirs).toBe(5);
  expect([5, 'unknown']).toContain((await watch.exited).exitCode);
});

test('a pending watch does not keep Node alive, a referenced one does', async () => {
  const sleeper = await stranger('exec sleep 1000');
  const { pid } = sleeper;
  const left = runNode(`native.watchProcess(native.processIdentity(${pid})); console.log('watching')`);
  expect(await left.finished).toEqual({ code: 0, signal: null, output: 'watching\n' });
  const taken = runNode(
    `native.watchProcess(native.processIdentity(${pid})).ref().unref(); console.log('watching')`,
  );
  expect((await taken.finished).code).toBe(0);
  const held = runNode(
    `native.watchProcess(native.processIdentity(${pid})).ref().exited.then(() => console.log('ended')); console.log('watching')`,
  );
  await held.sees('watching');
  watchProcess(sleeper).kill('SIGKILL');
  expect((await held.finished).output).toBe('watching\nended\n');
});

test.each([
  undefined,
  null,
  5,
  {},
  { pid: 5 },
  { pid: '5', startTime: '1', bootId: 'x' },
  { pid: 5, startTime: 1, bootId: 'x' },
])('a wrong identity is a TypeError: %j', (identity) => {
  // @ts-expect-error wrong on purpose
  expect(() => watchProcess(identity)).toThrow(TypeError);
});
