import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connectUnix, copyFile, listenUnix, openBeneath, removeTree } from '../dist/index.js';
import { openDescriptors, rejection, temporaryFolder } from './fixture.js';

/** A folder as a hostile process may leave it, and a secret beside it. */
function hostileFolder(): { readonly root: string; readonly secret: string } {
  const folder = temporaryFolder();
  const root = join(folder, 'root');
  const secret = join(folder, 'secret');
  mkdirSync(join(root, 'd'), { recursive: true });
  writeFileSync(join(root, 'd/f'), 'inside');
  writeFileSync(secret, 'secret');
  symlinkSync(secret, join(root, 'link'));
  symlinkSync('..', join(root, 'up'));
  symlinkSync('d', join(root, 'inner'));
  execFileSync('mkfifo', [join(root, 'fifo')]);
  return { root, secret };
}

test('opens a regular file beneath, by the flags and mode given', async () => {
  const { root } = hostileFolder();
  const read = await openBeneath(root, 'd/f');
  expect(readFileSync(read, 'utf8')).toBe('inside');
  closeSync(read);
  const append = await openBeneath(root, 'd/f', { flags: 'a' });
  writeSync(append, '+');
  closeSync(append);
  expect(readFileSync(join(root, 'd/f'), 'utf8')).toBe('inside+');
  const made = await openBeneath(root, 'new', { flags: 'wx', mode: 0o640 });
  expect(fstatSync(made).mode & 0o777).toBe(0o640 & ~process.umask());
  closeSync(made);
  const { O_RDWR, O_TRUNC } = constants;
  closeSync(await openBeneath(root, 'd/f', { flags: O_RDWR | O_TRUNC }));
  expect(readFileSync(join(root, 'd/f'), 'utf8')).toBe('');
  expect(await rejection(openBeneath(root, 'new', { flags: 'wx' }))).toMatchObject({
    code: 'EEXIST',
    path: join(root, 'new'),
  });
});

test('what it opened can be copied by its descriptor', async () => {
  const { root } = hostileFolder();
  const fd = await openBeneath(root, 'd/f');
  await copyFile(`/proc/self/fd/${String(fd)}`, join(root, '../copy'));
  closeSync(fd);
  expect(readFileSync(join(root, '../copy'), 'utf8')).toBe('inside');
});

test('a socket gives a handle that leads to it and nothing else', async () => {
  const { root } = hostileFolder();
  const listener = await listenUnix(join(root, 's'));
  const handle = await openBeneath(root, 's');
  const connected = await connectUnix(`/proc/self/fd/${String(handle)}`);
  for (const fd of [connected, handle, listener]) closeSync(fd);
});

test('follows no link, and opens nothing but files and sockets', async () => {
  const { root, secret } = hostileFolder();
  const before = openDescriptors();
  for (const flags of ['r', 'w', 'a+'] as const) {
    for (const [name, codes] of [
      ['link', ['ELOOP']],
      ['up/secret', ['ELOOP', 'ENOTDIR']],
      ['inner/f', ['ELOOP', 'ENOTDIR']],
      ['fifo', ['EINVAL']],
      ['d', ['EISDIR']],
    ] as const) {
      expect(codes, name).toContain((await rejection(openBeneath(root, name, { flags })))['code']);
    }
  }
  expect((await rejection(openBeneath(root, 'none')))['code']).toBe('ENOENT');
  expect((await rejection(openBeneath(join(root, 'inner'), 'f')))['code']).toMatch(/ELOOP|ENOTDIR/);
  expect(readFileSync(secret, 'utf8')).toBe('secret');
  expect(openDescriptors()).toBe(before);
});

test('names and flags that make no sense are a TypeError', () => {
  for (const name of ['..', '../secret', '/etc/passwd', '', 'd//f', 'd/', './d', 'd\0', 5]) {
    // @ts-expect-error wrong on purpose
    expect(() => openBeneath('/tmp', name), String(name)).toThrow(TypeError);
  }
  const { O_DIRECTORY, O_CREAT } = constants;
  for (const options of [
    { flags: 'x' },
    { flags: O_DIRECTORY },
    { flags: -1 },
    { flags: O_CREAT, mode: 0o7777 },
  ]) {
    // @ts-expect-error wrong on purpose
    expect(() => openBeneath('/tmp', 'a', options), JSON.stringify(options)).toThrow(TypeError);
  }
  // @ts-expect-error wrong on purpose
  expect(() => removeTree(5)).toThrow(TypeError);
});

test('removes a tree, counts it and follows no link', async () => {
  const { root, secret } = hostileFolder();
  expect(await removeTree(root)).toEqual({ files: 5, folders: 2, left: [], leftCount: 0 });
  expect(readFileSync(secret, 'utf8')).toBe('secret');
  expect(await removeTree(root)).toEqual({ files: 0, folders: 0, left: [], leftCount: 0 });
});

test('says what it could not remove, and why', async () => {
  const { secret } = hostileFolder();
  const { left, leftCount, ...counts } = await removeTree(secret);
  expect(counts).toEqual({ files: 0, folders: 0 });
  expect(leftCount).toBe(1);
  expect(left[0]).toMatchObject({ code: 'ENOTDIR', syscall: 'open', path: secret });
  expect(readFileSync(secret, 'utf8')).toBe('secret');
});

test.skipIf(process.getuid?.() !== 0)('crosses no mount (needs root)', async () => {
  const { root } = hostileFolder();
  const mounted = join(root, 'd/mounted');
  mkdirSync(mounted);
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', mounted]);
  try {
    writeFileSync(join(mounted, 'kept'), '');
    const removed = await removeTree(root);
    expect(removed).toMatchObject({ files: 5, folders: 0, leftCount: 1 });
    expect(removed.left[0]).toMatchObject({ code: 'EXDEV', path: mounted });
    expect(readdirSync(mounted)).toEqual(['kept']);
  } finally {
    execFileSync('umount', [mounted]);
  }
  expect(await removeTree(root)).toMatchObject({ folders: 3, leftCount: 0 });
});

test('an aborted removal rejects with the reason and may be done again', async () => {
  const folder = temporaryFolder();
  const tree = join(folder, 'tree');
  for (let i = 0; i < 50; ++i) mkdirSync(join(tree, `d${String(i)}/e/f`), { recursive: true });
  for (let i = 0; i < 50; ++i)
    for (let j = 0; j < 20; ++j) writeFileSync(join(tree, `d${String(i)}/${String(j)}`), '');
  const reason = new Error('enough');
  const controller = new AbortController();
  const removed = removeTree(tree, { signal: controller.signal });
  controller.abort(reason);
  await expect(removed).rejects.toBe(reason);
  expect(readdirSync(folder)).toEqual(['tree']);
  await expect(removeTree(tree, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect((await removeTree(tree)).leftCount).toBe(0);
  expect(readdirSync(folder)).toEqual([]);
});
