import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestFile } from '../index.js';
import { openDescriptors, temporaryFolder } from './fixture.js';

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
      chunks: chunks.map((chunk) => chunk.toString('hex')),
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
  const { chunks } = await digestFile(file);
  expect(chunks).toHaveLength(16_384);
  expect(new Set(chunks).size).toBe(2);
  expect(chunks.indexOf(chunks[10_000] ?? '')).toBe(10_000);
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
