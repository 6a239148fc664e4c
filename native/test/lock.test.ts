import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { lockDirectory, processIdentity, spawnProcess } from '../dist/index.js';
import { openDescriptors, rejection, runNode, temporaryFolder } from './fixture.js';
import { reasonForNoMount } from './loop-mount.js';

const HOLD = `
  const lock = await native.lockDirectory(process.argv[1]);
  console.log('held');
  setInterval(() => {}, 1000);
`;

test('a second lock fails and names the holder, also in the same process', async () => {
  const folder = temporaryFolder();
  const lock = await lockDirectory(folder);
  const self = processIdentity(process.pid);
  const expected = {
    code: 'EWOULDBLOCK',
    errno: -11,
    syscall: 'flock',
    path: join(folder, 'lock'),
    pid: self?.pid,
    startTime: self?.startTime,
  };
  expect(await rejection(lockDirectory(folder))).toMatchObject(expected);
  expect(JSON.parse(readFileSync(join(folder, 'lock'), 'utf8'))).toEqual(self);
  lock.release();
  lock.release();
  (await lockDirectory(folder)).release();
});

test.skipIf(reasonForNoMount() !== undefined)(
  'is had on a full disk too, where it has no name in it',
  async () => {
    const folder = temporaryFolder();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'microvm-test', folder]);
    try {
      writeFileSync(join(folder, 'lock'), '');
      expect(() => writeFileSync(join(folder, 'fill'), Buffer.alloc(1 << 20))).toThrow(/ENOSPC/);
      const lock = await lockDirectory(folder);
      expect(await rejection(lockDirectory(folder))).toMatchObject({ code: 'EWOULDBLOCK' });
      lock.release();
    } finally {
      execFileSync('umount', [folder]);
    }
  },
);

test('excludes other processes until its own is killed', async () => {
  const folder = temporaryFolder();
  const holder = runNode(HOLD, [folder]);
  await holder.sees('held');
  expect(await rejection(lockDirectory(folder))).toMatchObject({
    code: 'EWOULDBLOCK',
    pid: holder.child.pid,
  });
  holder.child.kill('SIGKILL');
  await holder.finished;
  (await lockDirectory(folder)).release();
});

test('of many that try at once one gets it', async () => {
  const folder = temporaryFolder();
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => lockDirectory(folder)));
  const held = outcomes.filter(({ status }) => status === 'fulfilled');
  expect(held).toHaveLength(1);
  for (const outcome of outcomes) if (outcome.status === 'fulfilled') outcome.value.release();
});

test('a child that outlives its owner does not keep the lock', async () => {
  const folder = temporaryFolder();
  const lock = await lockDirectory(folder);
  const child = await spawnProcess({ file: 'sleep', args: ['1000'] });
  lock.release();
  (await lockDirectory(folder)).release();
  child.kill('SIGKILL');
  await child.ref().exited;
});

test('garbage collection does not release it', async () => {
  const folder = temporaryFolder();
  const run = runNode(
    `await native.lockDirectory(process.argv[1]);
     globalThis.gc(); await new Promise(setImmediate); globalThis.gc();
     await native.lockDirectory(process.argv[1]).catch((error) => console.log(error.code));`,
    [folder],
  );
  expect(await run.finished).toEqual({ code: 0, signal: null, output: 'EWOULDBLOCK\n' });
});

test('works below a path of 200 characters and leaves no descriptor', async () => {
  const folder = join(temporaryFolder(), 'x'.repeat(100), 'y'.repeat(100));
  mkdirSync(folder, { recursive: true });
  (await lockDirectory(folder)).release();
  const before = openDescriptors();
  for (let i = 0; i < 200; ++i) (await lockDirectory(folder)).release();
  expect(openDescriptors()).toBe(before);
});

test('errors name the file', async () => {
  expect(await rejection(lockDirectory('/no/such'))).toMatchObject({
    code: 'ENOENT',
    syscall: 'open',
    path: '/no/such/lock',
  });
  // @ts-expect-error wrong on purpose
  expect(() => lockDirectory(5)).toThrow(TypeError);
  expect(() => lockDirectory('')).toThrow(TypeError);
});
