import { appendFile, mkdtemp, open, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { discardFront } from '@microvm/native';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const BLOCK = 4096;
let directory: string;
beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), 'discard-'))));
afterEach(() => rm(directory, { recursive: true }));

describe('discardFront', () => {
  it('gives back what is before the last bytes and leaves size and end as they are', async () => {
    const path = join(directory, 'log');
    await writeFile(path, Buffer.alloc(100 * BLOCK, 'a'));
    const before = (await stat(path)).blocks;
    expect(await discardFront(path, 10 * BLOCK + 1)).toEqual({
      sizeBytes: 100 * BLOCK,
      startBytes: 89 * BLOCK,
    });
    const after = await stat(path);
    expect(after.size).toBe(100 * BLOCK);
    expect(after.blocks).toBeLessThan(before);
    const content = await readFile(path);
    expect(content.subarray(0, 89 * BLOCK).every((byte) => byte === 0)).toBe(true);
    expect(content.subarray(89 * BLOCK).toString()).toBe('a'.repeat(11 * BLOCK));
  });

  it('lets a writer that appends go on', async () => {
    const path = join(directory, 'log');
    const writer = await open(path, 'a');
    await writer.write(Buffer.alloc(4 * BLOCK, 'a'));
    await discardFront(path, BLOCK);
    await writer.write('end');
    await writer.close();
    const content = await readFile(path, 'latin1');
    expect(content.length).toBe(4 * BLOCK + 3);
    expect(content.endsWith('aend')).toBe(true);
  });

  it('leaves a file alone that has no more than is to be kept', async () => {
    const path = join(directory, 'log');
    await appendFile(path, 'short');
    expect(await discardFront(path, 5)).toEqual({ sizeBytes: 5, startBytes: 0 });
    expect(await readFile(path, 'utf8')).toBe('short');
  });

  it('refuses a link, a folder and what is not there', async () => {
    await writeFile(join(directory, 'log'), 'x');
    await symlink('log', join(directory, 'link'));
    await expect(discardFront(join(directory, 'link'), 0)).rejects.toMatchObject({ code: 'ELOOP' });
    await expect(discardFront(directory, 0)).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(discardFront(join(directory, 'none'), 0)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('throws for wrong arguments before any effect', () => {
    expect(() => discardFront('', 0)).toThrow(TypeError);
    expect(() => discardFront('/x', -1)).toThrow(TypeError);
    expect(() => discardFront('/x', Number.NaN)).toThrow(TypeError);
  });
});
