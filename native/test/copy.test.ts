import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { copyFile, type CopyProgress } from '../dist/index.js';
import { openDescriptors, rejection, temporaryFolder } from './fixture.js';

const MIB = 1 << 20;

function sparseFile(path: string, sizeMib: number, dataMib: number): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, sizeMib * MIB);
  const step = Math.floor(sizeMib / dataMib);
  for (let i = 0; i < dataMib; ++i) writeSync(fd, randomBytes(MIB), 0, MIB, i * step * MIB);
  closeSync(fd);
}

test('copies content, size, holes and mode', async () => {
  const folder = temporaryFolder();
  const from = join(folder, 'from');
  sparseFile(from, 200, 5);
  chmodSync(from, 0o640);
  const progress: CopyProgress[] = [];
  const result = await copyFile(from, join(folder, 'to'), {
    durable: true,
    onProgress: (step) => progress.push(step),
  });
  expect(result.sizeBytes).toBe(200 * MIB);
  expect(result.dataBytes).toBe(result.method !== 'reflink' ? 5 * MIB : 0);
  expect(readFileSync(join(folder, 'to')).equals(readFileSync(from))).toBe(true);
  expect(statSync(join(folder, 'to')).blocks * 512).toBeLessThan(6 * MIB);
  expect(statSync(join(folder, 'to')).mode & 0o777).toBe(0o640);
  if (result.method !== 'reflink')
    expect(progress.at(-1)).toEqual({ copiedBytes: 200 * MIB, totalBytes: 200 * MIB });
});

test('zeros become holes when asked', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'from'), Buffer.concat([Buffer.alloc(8 * MIB), Buffer.from('end')]));
  await copyFile(join(folder, 'from'), join(folder, 'to'), { sparse: true });
  expect(readFileSync(join(folder, 'to')).equals(readFileSync(join(folder, 'from')))).toBe(true);
});

test('replaces the target, and a failure leaves it as it was', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'from'), 'new');
  writeFileSync(join(folder, 'to'), 'old');
  await expect(copyFile(join(folder, 'none'), join(folder, 'to'))).rejects.toMatchObject({
    code: 'ENOENT',
    errno: -2,
    syscall: 'open',
    path: join(folder, 'none'),
  });
  expect(readFileSync(join(folder, 'to'), 'utf8')).toBe('old');
  await copyFile(join(folder, 'from'), join(folder, 'to'));
  expect(readFileSync(join(folder, 'to'), 'utf8')).toBe('new');
  expect(readdirSync(folder).sort()).toEqual(['from', 'to']);
});

test('an abort rejects with its reason and leaves nothing, before and during', async () => {
  const folder = temporaryFolder();
  const from = join(folder, 'from');
  sparseFile(from, 96, 96);
  const reason = new Error('enough');
  await expect(copyFile(from, join(folder, 'to'), { signal: AbortSignal.abort(reason) })).rejects.toBe(
    reason,
  );
  const before = openDescriptors();
  for (let i = 0; i < 5; ++i) {
    const controller = new AbortController();
    const copied = copyFile(from, join(folder, 'to'), { sparse: true, signal: controller.signal });
    setImmediate(() => controller.abort(reason));
    await expect(copied).rejects.toBe(reason);
    expect(readdirSync(folder)).toEqual(['from']);
  }
  expect(openDescriptors()).toBe(before);
});

test('an abort after the end does nothing', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'from'), 'x');
  const controller = new AbortController();
  await copyFile(join(folder, 'from'), join(folder, 'to'), { signal: controller.signal });
  controller.abort();
  expect(readFileSync(join(folder, 'to'), 'utf8')).toBe('x');
});

test('many copies at once do not hold up the pool', async () => {
  const folder = temporaryFolder();
  sparseFile(join(folder, 'from'), 16, 4);
  const copies = Array.from({ length: 12 }, (_, i) => copyFile(join(folder, 'from'), join(folder, `to${i}`)));
  await Promise.all(copies);
  const original = readFileSync(join(folder, 'from'));
  for (let i = 0; i < 12; ++i) expect(readFileSync(join(folder, `to${i}`)).equals(original)).toBe(true);
});

test('wrong arguments are a TypeError before any effect', async () => {
  const folder = temporaryFolder();
  const to = join(folder, 'to');
  // @ts-expect-error wrong on purpose
  expect(() => copyFile(5, to)).toThrow(TypeError);
  for (const options of [null, 5, { signal: {} }, { onProgress: 5 }, { durable: 1 }, { sparse: 'x' }]) {
    // @ts-expect-error wrong on purpose
    expect(() => copyFile('/etc/hostname', to, options)).toThrow(TypeError);
  }
  expect(readdirSync(folder)).toEqual([]);
  expect(await rejection(copyFile('/dev', to))).toMatchObject({ code: 'EISDIR' });
});
