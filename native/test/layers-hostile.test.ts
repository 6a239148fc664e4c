import { readdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openDescriptors, rejection, temporaryFolder } from './fixture.js';
import { flatten, layerFiles, refusal, type Source } from './layers-fixture.js';
import { HOSTILE_LAYERS } from './hostile-layers.js';
import { mutations } from './tar-mutations.js';
import { file, seal, tar } from './tar-fixture.js';

test.each(HOSTILE_LAYERS)('refuses %s, and says so', async (_, sources, reason) => {
  const list = (Array.isArray(sources) ? sources : [sources]) as readonly Source[];
  const fault = await refusal(list);
  expect(fault.reason).toMatch(reason);
  expect(fault.layer).toBe(list.length - 1);
  expect(fault.message).toContain(fault.reason);
});

test('what is no file cannot be a layer', async () => {
  const path = temporaryFolder();
  const missing = flatten([{ path: join(path, 'none'), compression: 'none' }]);
  expect(await rejection(missing)).toMatchObject({
    code: 'ENOENT',
    syscall: 'open',
    path: join(path, 'none'),
  });
  expect(await rejection(flatten([{ path, compression: 'gzip' }]))).toMatchObject({ code: 'EISDIR' });
  expect(await rejection(flatten([{ path: '/dev/zero', compression: 'none' }]))).toMatchObject({
    code: 'EINVAL',
  });
  symlinkSync(path, join(path, 'itself'));
  writeFileSync(join(path, 'file'), '');
  expect(await rejection(flatten([{ path: join(path, 'file'), compression: 'folder' }]))).toMatchObject({
    code: 'ENOTDIR',
  });
});

test('a hostile archive is refused or read, whatever is changed in it; nothing is left of it', async () => {
  const before = openDescriptors();
  const ends = { read: 0, refused: 0 };
  for (const { seed, archive, compression } of mutations(400)) {
    const [layer] = layerFiles([archive]);
    const layers = [{ path: layer?.path ?? '', compression }];
    const outcome: unknown = await flatten(layers).catch((error: unknown) => error);
    if (!(outcome instanceof Error)) ends.read += 1;
    else {
      expect(outcome, `seed ${String(seed)}: ${outcome.message}`).toMatchObject({
        code: 'IMAGE_INVALID',
        layer: 0,
      });
      ends.refused += 1;
    }
  }
  expect(openDescriptors()).toBe(before);
  // Both happen, else the changes show nothing.
  expect(ends.read).toBeGreaterThan(20);
  expect(ends.refused).toBeGreaterThan(100);
});

test('a file that gets shorter while it is read is an error, and no image', async () => {
  const folderOfWork = temporaryFolder();
  const [layer] = layerFiles([tar(file('f', 'x'.repeat(1 << 20)))]);
  const path = layer?.path ?? '';
  const done = flatten([{ path, compression: 'none', sizeBytes: (1 << 20) + 1536 }]);
  truncateSync(path, 4096);
  expect(['EIO', 'IMAGE_INVALID', 'resolved']).toContain(
    await done.then(
      () => 'resolved',
      (error: unknown) => (error as { code: string }).code,
    ),
  );
  expect(readdirSync(folderOfWork)).toEqual([]);
});

test('seals what it changes', () => {
  // A mutation without a right checksum would stop at the first check.
  const block = seal(Buffer.alloc(512, 'a'));
  expect(seal(Buffer.from(block)).equals(block)).toBe(true);
});
