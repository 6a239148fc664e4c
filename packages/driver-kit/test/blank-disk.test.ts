import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { MIB } from '@microvm/runtime';
import { expect, it, onTestFinished } from 'vitest';
import { ensureBlankDisk } from '../src/image/blank-disk.js';

it('an empty disk is made once for all that ask for its size at once, whole and sparse', async () => {
  const cacheDir = await mkdtemp(join(tmpdir(), 'kit-blank-'));
  onTestFinished(() => rm(cacheDir, { recursive: true }));
  const { signal } = new AbortController();
  const ask = (sizeMib: number): Promise<string> => ensureBlankDisk({ sizeMib, signal, cacheDir });
  const paths = await Promise.all([ask(64), ask(64), ask(64), ask(1024)]);
  expect(new Set(paths).size).toBe(2);
  const [path = ''] = paths;
  const made = await stat(path);
  expect(made.size).toBe(64 * MIB);
  expect(made.blocks * 512).toBeLessThan(MIB);
  // Who shares the cache may copy it, and nobody writes to what all copies come from.
  expect(made.mode & 0o777).toBe(0o444);
  execFileSync('e2fsck', ['-fn', path], { stdio: 'ignore' });
  expect(await ask(64)).toBe(path);
  expect((await stat(path)).ino).toBe(made.ino);
  expect((await readdir(dirname(path))).toSorted()).toEqual(['1024-mib.ext4', '64-mib.ext4']);
});

it('an empty disk that was not finished is not there', async () => {
  const cacheDir = await mkdtemp(join(tmpdir(), 'kit-blank-'));
  onTestFinished(() => rm(cacheDir, { recursive: true }));
  const reason = new Error('not wanted');
  const call = ensureBlankDisk({ sizeMib: 64, signal: AbortSignal.abort(reason), cacheDir });
  await expect(call).rejects.toBe(reason);
  expect(await readdir(join(cacheDir, 'blank-disks'))).toEqual([]);
});
