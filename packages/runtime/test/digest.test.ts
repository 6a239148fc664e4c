import { createHash } from 'node:crypto';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestFile } from '../src/engine/digest.js';

const CHUNK = 4 * 1024 * 1024;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'digest-'));
});
afterEach(() => rm(directory, { recursive: true }));

function expected(content: Buffer): string {
  const root = createHash('sha256');
  for (let at = 0; at < content.length; at += CHUNK) {
    root.update(
      createHash('sha256')
        .update(content.subarray(at, at + CHUNK))
        .digest(),
    );
  }
  return root.digest('hex');
}

describe('digestFile', () => {
  it.each([0, 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])(
    'agrees with a plain computation over %i bytes',
    async (size) => {
      const content = Buffer.alloc(size, 7);
      for (let at = 0; at < size; at += 1009) content[at] = at % 256;
      const path = join(directory, 'file');
      await writeFile(path, content);
      expect(await digestFile(path)).toBe(expected(content));
    },
  );

  it('reads holes as zeros', async () => {
    const path = join(directory, 'sparse');
    await writeFile(path, '');
    await truncate(path, 2 * CHUNK);
    expect(await digestFile(path)).toBe(expected(Buffer.alloc(2 * CHUNK)));
  });

  it('stops by its signal, with its reason', async () => {
    const path = join(directory, 'file');
    await writeFile(path, Buffer.alloc(CHUNK));
    const reason = new Error('enough');
    await expect(digestFile(path, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
