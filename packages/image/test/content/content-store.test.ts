import { execFileSync } from 'node:child_process';
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { MIB } from '@microvm/runtime';
import { ContentStore } from '../../src/content/content-store.js';
import { makeTempDir } from '../temp-dir.js';

const call = { signal: new AbortController().signal };

interface Fixture {
  readonly folder: string;
  readonly store: ContentStore;
  readonly source: (name: string, text?: string) => Promise<string>;
  readonly digests: () => Promise<string[]>;
}

async function makeFixture(): Promise<Fixture> {
  const root = await makeTempDir();
  const folder = join(root, 'images');
  const store = new ContentStore(folder);
  await store.open();
  return {
    folder,
    store,
    async source(name, text = name) {
      const path = join(root, name);
      await writeFile(path, text);
      return path;
    },
    digests: async () => (await readdir(folder)).filter((name) => /^[0-9a-f]{64}$/.test(name)),
  };
}

/** Waits until a condition holds. */
async function eventually(condition: () => Promise<boolean>): Promise<void> {
  await vi.waitUntil(condition, { timeout: 60_000, interval: 5 });
}

async function nextBoot({ folder }: Fixture): Promise<ContentStore> {
  const path = join(folder, 'verified.json');
  const notes = JSON.parse(await readFile(path, 'utf8')) as object;
  await writeFile(path, JSON.stringify({ ...notes, bootId: 'another' }));
  const store = new ContentStore(folder);
  await store.open();
  return store;
}

describe('a content store', () => {
  test('has one file for one content, whatever it is called, and does not follow changes of the source', async () => {
    const { store, source, digests } = await makeFixture();
    const path = await source('a', 'kernel');
    const [one, two] = await Promise.all([
      store.pin(path, call),
      store.pin(await source('b', 'kernel'), call),
    ]);
    expect(one).toEqual(two);
    expect(await digests()).toEqual([one.digest]);
    await writeFile(path, 'another');
    expect(await readFile(store.path(one.digest), 'utf8')).toBe('kernel');
    expect((await store.pin(path, call)).digest).not.toBe(one.digest);
    expect((await stat(store.path(one.digest))).mode & 0o777).toBe(0o444);
  });

  test('links a file that nobody may write to, and digests it once however often it is linked', async () => {
    const { store, source } = await makeFixture();
    const path = await source('a', 'template');
    await chmod(path, 0o444);
    await utimes(path, 1, 1);
    const file = await store.pin(path, call);
    const inode = (await stat(path)).ino;
    expect((await stat(store.path(file.digest))).ino).toBe(inode);
    // The link has changed the time of the inode's change; a second digest of the file would set its atime.
    await utimes(path, 1, 1);
    expect(await store.pin(path, call)).toEqual(file);
    expect((await stat(path)).atimeMs).toBe(1000);
    await rm(path);
    expect(await readFile(store.path(file.digest), 'utf8')).toBe('template');
  });

  test('copies such a file from another file system once, and again when it was replaced', async () => {
    const { store } = await makeFixture();
    const elsewhere = await mkdtemp('/dev/shm/content-store-');
    onTestFinished(() => rm(elsewhere, { recursive: true }));
    const path = join(elsewhere, 'a');
    const write = async (text: string): Promise<void> => {
      await rm(path, { force: true });
      await writeFile(path, text, { mode: 0o444 });
      await utimes(path, 1, 1);
      await eventually(async () => Date.now() - (await stat(path)).ctimeMs > 100);
    };
    await write('template');
    const first = await store.pin(path, call);
    const inode = async (): Promise<number> => (await stat(store.path(first.digest))).ino;
    const before = await inode();
    expect(await store.pin(path, call)).toEqual(first);
    expect(await inode()).toBe(before);
    await write('TEMPLATE');
    const second = await store.pin(path, call);
    expect(second.digest).not.toBe(first.digest);
    expect(await readFile(store.path(second.digest), 'utf8')).toBe('TEMPLATE');
  });

  test.each([0o644, 0o464, 0o4444])('copies a file of mode %o: its content may change', async (mode) => {
    const { store, source } = await makeFixture();
    const path = await source('a', 'template');
    await chmod(path, mode);
    const file = await store.pin(path, call);
    expect((await stat(store.path(file.digest))).ino).not.toBe((await stat(path)).ino);
  });

  test('brings a file in once for many callers, and again when the one that did it is aborted', async () => {
    const { store, source, digests } = await makeFixture();
    const path = await source('a', 'x'.repeat(8 * MIB));
    const abort = new AbortController();
    const first = store.pin(path, { signal: abort.signal });
    const others = Array.from({ length: 8 }, () => store.pin(path, call));
    abort.abort(new Error('not wanted'));
    await first.catch((error: unknown) => expect(error).toMatchObject({ message: 'not wanted' }));
    const pinned = await Promise.all(others);
    expect(await digests()).toEqual([pinned[0]?.digest]);
  });

  test.each([
    ['all zeros', async (path: string) => truncate(path, 0).then(() => truncate(path, 6))],
    ['cut short', async (path: string) => truncate(path, 3)],
    ['gone', async (path: string) => rm(path)],
  ])('notices a file that is %s on the next boot, and brings it in again', async (_what, damage) => {
    const fixture = await makeFixture();
    const path = await fixture.source('a', 'kernel');
    const file = await fixture.store.pin(path, call);
    await damage(fixture.store.path(file.digest));
    const store = await nextBoot(fixture);
    expect(await store.problem(file, call)).toEqual(expect.any(String));
    expect(await store.pin(path, call)).toEqual(file);
    expect(await store.problem(file, call)).toBeUndefined();
    expect(await readFile(store.path(file.digest), 'utf8')).toBe('kernel');
  });

  test('reads a file whole once per boot of the host only', async () => {
    const fixture = await makeFixture();
    const file = await fixture.store.pin(await fixture.source('a', 'kernel'), call);
    const path = fixture.store.path(file.digest);
    const times = join(fixture.folder, '..', 'times');
    await writeFile(times, '');
    execFileSync('touch', ['-r', path, times]);
    await writeFile(path, 'kernxl');
    execFileSync('touch', ['-r', times, path]);
    const again = new ContentStore(fixture.folder);
    await again.open();
    // Nobody may write to it: that it was read before in this boot is enough.
    expect(await again.problem(file, call)).toBeUndefined();
    expect(await (await nextBoot(fixture)).problem(file, call)).toContain('damaged');
  });

  test('keeps what is in use or held; of the rest the last used up to 512 MiB', async () => {
    const { store, source, digests } = await makeFixture();
    const pins = [];
    for (const name of ['a', 'b', 'c', 'd']) {
      const path = await source(name);
      await truncate(path, 300 * MIB); // a hole
      pins.push(await store.pin(path, call));
    }
    const [used, held, older, newer] = pins.map(({ digest }) => digest) as [string, string, string, string];
    for (const digest of [used, older, newer]) store.release(digest);
    await store.sweep(new Set([used]));
    expect((await digests()).toSorted()).toEqual([used, held, newer].toSorted());
    store.release(held);
    await store.sweep(new Set());
    expect(await digests()).toEqual([newer]);
    expect(await store.has(older)).toBe(false);
  });

  test('removes what a killed process left half made', async () => {
    const { folder, store, digests } = await makeFixture();
    await writeFile(join(folder, '.0123456789abcdef.partial'), 'x');
    await mkdir(join(folder, 'lost'));
    await store.open();
    expect(await readdir(folder)).toEqual([]);
    expect(await digests()).toEqual([]);
  });

  test.each(['a folder', 'nothing'])('refuses %s', async (what) => {
    const { folder, store, digests } = await makeFixture();
    const path = what === 'nothing' ? join(folder, 'no') : folder;
    await expect(store.pin(path, call)).rejects.toMatchObject({
      code: expect.stringMatching(/ENOENT|EISDIR/) as string,
    });
    expect(await digests()).toEqual([]);
  });
});
