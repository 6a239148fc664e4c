import { createHash } from 'node:crypto';
import { closeSync, existsSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { copyFile, digestFile } from '../dist/index.js';
import { openDescriptors, rejection, temporaryFolder } from './fixture.js';

const MIB = 1 << 20;

const sha256 = (...parts: Buffer[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();

test('agrees with node:crypto, chunk by chunk', async () => {
  const file = join(temporaryFolder(), 'f');
  const data = Buffer.alloc(9 * MIB + 777, 'some text ');
  writeFileSync(file, data);
  for (const chunkBytes of [4096, 1_000_000, 4 * MIB]) {
    const chunks: Buffer[] = [];
    for (let at = 0; at < data.length; at += chunkBytes)
      chunks.push(sha256(data.subarray(at, at + chunkBytes)));
    expect(await digestFile(file, { chunkBytes })).toEqual({
      sizeBytes: data.length,
      chunkBytes,
      root: sha256(...chunks).toString('hex'),
    });
  }
  expect((await digestFile(file)).chunkBytes).toBe(4 * MIB);
});

test('a file of 64 GiB that is nearly all hole takes no time to read', async () => {
  const file = join(temporaryFolder(), 'f');
  const fd = openSync(file, 'w');
  ftruncateSync(fd, 65536 * MIB);
  writeSync(fd, 'x', 40_000 * MIB);
  closeSync(fd);
  const hole = sha256(Buffer.alloc(4 * MIB));
  const chunks = Array<Buffer>(16_384).fill(hole);
  const written = Buffer.alloc(4 * MIB);
  written.write('x');
  chunks[10_000] = sha256(written);
  expect((await digestFile(file)).root).toBe(sha256(...chunks).toString('hex'));
});

test('a file of another size than the caller allows is refused before anything is read', async () => {
  const file = join(temporaryFolder(), 'f');
  const fd = openSync(file, 'w');
  ftruncateSync(fd, 2 ** 40);
  closeSync(fd);
  expect(await rejection(digestFile(file, { maxSizeBytes: MIB }))).toMatchObject({
    code: 'EFBIG',
    path: file,
    detail: 'it has 1099511627776 bytes, at most 1048576 are allowed',
  });
  for (const [expectedSizeBytes, code] of [
    [2 ** 40 - 1, 'EFBIG'],
    [2 ** 40 + 1, 'EIO'],
  ] as const) {
    expect(await rejection(digestFile(file, { expectedSizeBytes }))).toMatchObject({ code });
    const copied = copyFile(file, `${file}-copy`, { expectedSizeBytes });
    expect(await rejection(copied)).toMatchObject({ code, path: file });
  }
  expect(existsSync(`${file}-copy`)).toBe(false);
  expect(await digestFile(file, { expectedSizeBytes: 2 ** 40 })).toMatchObject({ sizeBytes: 2 ** 40 });
});

test('an abort rejects with its reason', async () => {
  const file = join(temporaryFolder(), 'f');
  writeFileSync(file, Buffer.alloc(64 * MIB, 'x'));
  const before = openDescriptors();
  const reason = new Error('enough');
  const controller = new AbortController();
  const digest = digestFile(file, { signal: controller.signal });
  controller.abort(reason);
  await expect(digest).rejects.toBe(reason);
  await expect(digestFile(file, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect(openDescriptors()).toBe(before);
});

test('errors and wrong arguments', async () => {
  await expect(digestFile('/no/such')).rejects.toMatchObject({
    code: 'ENOENT',
    syscall: 'open',
    path: '/no/such',
  });
  await expect(digestFile('/')).rejects.toMatchObject({ code: 'EISDIR' });
  for (const chunkBytes of [0, 4095, 2 ** 30 + 1, 5000.5, NaN, '4096']) {
    // @ts-expect-error wrong on purpose
    expect(() => digestFile('/etc/hostname', { chunkBytes })).toThrow(TypeError);
  }
});
