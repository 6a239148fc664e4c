import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB, isVmRuntimeError } from '@microvm/runtime';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { createDisk, type CreateDiskOptions } from '../../src/disks/disk.js';
import { makeEmptyExt4 } from '../../src/disks/ext4.js';
import { runProgram } from '../../src/host/program.js';
import { makeTempDir } from '../temp-dir.js';

let folder: string;

beforeEach(async () => {
  folder = await makeTempDir();
});

async function file(name: string, data: Uint8Array | string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, data);
  return path;
}

/** Fails unless the file has a clean ext4 file system; returns its size in bytes. */
async function ext4Bytes(path: string): Promise<number> {
  await runProgram('e2fsck', ['-f', '-n', path]);
  const text = (await runProgram('dumpe2fs', ['-h', path])).toString();
  const field = (name: string): number => Number(new RegExp(`^${name}: +(\\d+)$`, 'm').exec(text)?.[1]);
  return field('Block count') * field('Block size');
}

describe('a copy', () => {
  test('has the content of its template, belongs to its owner alone and is apart from it', async () => {
    const from = await file('template', Buffer.alloc(3 * MIB, 'abc'));
    await chmod(from, 0o444);
    const to = join(folder, 'disk');
    const disk = await createDisk({ to, from });
    expect(disk).toMatchObject({ path: to, sizeBytes: 3 * MIB });
    expect(['reflink', 'copy']).toContain(disk.method);
    expect((await readFile(to)).equals(await readFile(from))).toBe(true);
    expect((await stat(to)).mode & 0o777).toBe(0o600);
    await writeFile(to, 'changed');
    expect((await readFile(from)).toString('latin1', 0, 3)).toBe('abc');
  });

  test('is as sparse as its template', async () => {
    const from = join(folder, 'template');
    await makeEmptyExt4(from, { sizeBytes: 64 * MIB });
    const to = join(folder, 'disk');
    await createDisk({ to, from });
    expect((await stat(to)).blocks * 512).toBeLessThan(4 * MIB);
  });

  test('with a larger size has a larger ext4 file system, with what was in it', async () => {
    const from = join(folder, 'template');
    await makeEmptyExt4(from, { sizeBytes: 16 * MIB });
    const text = await file('text', 'hello');
    await runProgram('debugfs', ['-w', '-R', `write ${text} greeting`, from]);
    const to = join(folder, 'disk');
    const { sizeBytes } = await createDisk({ to, from, sizeBytes: 256 * MIB });
    expect([sizeBytes, (await stat(to)).size]).toEqual([256 * MIB, 256 * MIB]);
    expect(await ext4Bytes(to)).toBe(256 * MIB);
    expect((await runProgram('debugfs', ['-R', 'cat greeting', to])).toString()).toBe('hello');
    expect(await ext4Bytes(from)).toBe(16 * MIB);
  });

  test('with a larger size and other content keeps that content and has zeros behind it', async () => {
    const from = await file('template', Buffer.alloc(MIB, 1));
    const to = join(folder, 'disk');
    await createDisk({ to, from, sizeBytes: 2 * MIB });
    const data = await readFile(to);
    expect(data.equals(Buffer.concat([Buffer.alloc(MIB, 1), Buffer.alloc(MIB)]))).toBe(true);
  });

  test('works by a link, from and to paths of 200 characters, and durably', async () => {
    const deep = join(folder, 'd'.repeat(200));
    await mkdir(deep);
    await file('template', Buffer.alloc(4096, 1));
    await symlink(join(folder, 'template'), join(deep, 'link'));
    const to = join(deep, 'e'.repeat(250));
    await createDisk({ to, from: join(deep, 'link'), durable: true });
    expect((await stat(to)).size).toBe(4096);
  });
});

describe('without a template', () => {
  test('the disk is an empty, sparse ext4 file system with a journal', async () => {
    const to = join(folder, 'disk');
    expect(await createDisk({ to, sizeBytes: 16 * MIB })).toEqual({
      path: to,
      sizeBytes: 16 * MIB,
      method: 'mkfs',
    });
    expect(await ext4Bytes(to)).toBe(16 * MIB);
    const features = (await runProgram('dumpe2fs', ['-h', to])).toString();
    expect(features).toMatch(/^Filesystem features:.* ?has_journal/m);
    expect((await stat(to)).blocks * 512).toBeLessThan(4 * MIB);
    expect((await stat(to)).mode & 0o777).toBe(0o600);
  });

  test('two disks have two identities', async () => {
    const uuid = async (name: string): Promise<string | undefined> => {
      const { path } = await createDisk({ to: join(folder, name), sizeBytes: 16 * MIB });
      const text = (await runProgram('dumpe2fs', ['-h', path])).toString();
      return /^Filesystem UUID: +(\S+)$/m.exec(text)?.[1];
    };
    const first = await uuid('a');
    expect(first).toMatch(/^[0-9a-f-]{36}$/);
    expect(await uuid('b')).not.toBe(first);
  });
});

test('two templates of the same size are the same bytes', async () => {
  const paths = ['a', 'b'].map((name) => join(folder, name));
  for (const path of paths) await makeEmptyExt4(path, { sizeBytes: 16 * MIB, isTemplate: true });
  const [a, b] = await Promise.all(paths.map((path) => readFile(path)));
  expect(a?.equals(b ?? Buffer.alloc(0))).toBe(true);
});

describe('a wrong argument is an error that names it, and nothing is made', () => {
  const cases: readonly (readonly [string, string, Partial<CreateDiskOptions>])[] = [
    ['a template that does not exist', 'from', { from: 'absent' }],
    ['a template below a file', 'from', { from: 'template/below' }],
    ['a template that is a folder', 'from', { from: '.' }],
    ['a template that is a device', 'from', { from: '/dev/null' }],
    ['an empty template', 'from', { from: 'empty' }],
    ['a template of half a sector', 'from', { from: 'odd' }],
    ['a size below the template', 'sizeBytes', { from: 'template', sizeBytes: 512 }],
    ['a size of half a sector', 'options.sizeBytes', { from: 'template', sizeBytes: 8192 + 100 }],
    ['a negative size', 'options.sizeBytes', { sizeBytes: -512 }],
    ['a size that is no number', 'options.sizeBytes', { sizeBytes: Number.NaN }],
    ['a new file system that is too small', 'sizeBytes', { sizeBytes: MIB }],
    ['neither template nor size', 'sizeBytes', {}],
    ['a target that exists', 'to', { to: 'taken', from: 'template' }],
    ['a target that is a link to nowhere', 'to', { to: 'dangling', from: 'template' }],
    ['a target in a folder that does not exist', 'to', { to: 'absent/disk', from: 'template' }],
    ['an empty target', 'options.to', { to: '', from: 'template' }],
    ['an unknown key', 'options.sizeMib', { sizeMib: 64 } as Partial<CreateDiskOptions>],
  ];

  test.each(cases)('%s: %s', async (_name, path, { to = 'disk', from, ...rest }) => {
    await file('template', Buffer.alloc(8192, 1));
    await file('empty', '');
    await file('odd', 'x'.repeat(700));
    await file('taken', 'mine');
    await symlink('nowhere', join(folder, 'dangling'));
    const before = (await readdir(folder)).toSorted();
    const below = (name: string): string => (name.startsWith('/') || name === '' ? name : join(folder, name));
    const options = { to: below(to), ...rest, ...(from === undefined ? {} : { from: below(from) }) };
    const error: unknown = await createDisk(options).catch((caught: unknown) => caught);
    expect(isVmRuntimeError(error, 'MICROVM_INVALID_ARGUMENT') && error.details.path).toBe(path);
    expect((await readdir(folder)).toSorted()).toEqual(before);
    expect(await readFile(join(folder, 'taken'), 'utf8')).toBe('mine');
  });
});

describe('an abort', () => {
  test('before the call rejects with its reason and makes nothing', async () => {
    const from = await file('template', Buffer.alloc(8192, 1));
    const signal = AbortSignal.abort(new Error('never mind'));
    await expect(createDisk({ to: join(folder, 'disk'), from, signal })).rejects.toThrow('never mind');
    expect(await readdir(folder)).toEqual(['template']);
  });

  test('while the disk is made rejects with its reason and leaves nothing', async () => {
    const from = await file('template', Buffer.alloc(64 * MIB, 1));
    const abort = new AbortController();
    const disk = createDisk({ to: join(folder, 'disk'), from, sizeBytes: 128 * MIB, signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(disk).rejects.toThrow('enough');
    expect(await readdir(folder)).toEqual(['template']);
  });

  test('while mkfs runs rejects with its reason and leaves nothing', async () => {
    const abort = new AbortController();
    const disk = createDisk({ to: join(folder, 'disk'), sizeBytes: 16 * MIB, signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(disk).rejects.toThrow('enough');
    expect(await readdir(folder)).toEqual([]);
  });
});

test('of several that make the same path at once one succeeds, and its disk is whole', async () => {
  const from = await file('template', Buffer.alloc(MIB, 1));
  const to = join(folder, 'disk');
  const results = await Promise.allSettled([1, 2, 3, 4].map(() => createDisk({ to, from })));
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  expect((await readdir(folder)).toSorted()).toEqual(['disk', 'template']);
  expect((await readFile(to)).equals(await readFile(from))).toBe(true);
});

// A file system that is full needs a mount, which needs root.
describe.skipIf(process.getuid?.() !== 0)('on a full file system', () => {
  async function mountSmall(sizeBytes: number): Promise<string> {
    const small = join(folder, 'small');
    await mkdir(small);
    await runProgram('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'microvm-test', small]);
    onTestFinished(async () => {
      await runProgram('umount', [small]);
    });
    return small;
  }

  test('a copy is MICROVM_NO_SPACE with the numbers, and nothing is left', async () => {
    const from = await file('template', Buffer.alloc(2 * MIB, 1));
    const small = await mountSmall(MIB);
    const error: unknown = await createDisk({ to: join(small, 'disk'), from }).catch(
      (caught: unknown) => caught,
    );
    if (!isVmRuntimeError(error, 'MICROVM_NO_SPACE'))
      throw new Error('expected another error', { cause: error });
    expect(error.details).toMatchObject({ path: join(small, 'disk'), neededBytes: 2 * MIB });
    expect(error.details.availableBytes).toBeLessThanOrEqual(MIB);
    expect(await readdir(small)).toEqual([]);
  });

  test('a new file system is MICROVM_NO_SPACE, and nothing is left', async () => {
    const small = await mountSmall(64 * 1024);
    const disk = createDisk({ to: join(small, 'disk'), sizeBytes: 64 * MIB });
    await expect(disk).rejects.toMatchObject({ code: 'MICROVM_NO_SPACE' });
    expect(await readdir(small)).toEqual([]);
  });
});
