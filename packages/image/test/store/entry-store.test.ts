import {
  appendFile,
  mkdir,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { EntryStore } from '../../src/store/entry-store.js';
import { makeTempDir } from '../temp-dir.js';

async function fill(folder: string, text = 'kernel'): Promise<Record<string, string>> {
  await writeFile(join(folder, 'kernel'), text);
  await mkdir(join(folder, 'modules'));
  await writeFile(join(folder, 'modules', 'a.ko'), 'module');
  return { release: '1' };
}

async function folders(root: string): Promise<string[]> {
  return readdir(join(root, 'entries'));
}

test('an entry is found again, with facts, digests and files in subfolders', async () => {
  const store = new EntryStore(await makeTempDir());
  expect(await store.open('base', 'k')).toBeUndefined();
  await store.publish('base', 'k', fill);
  const entry = await store.open('base', 'k');
  expect(entry?.facts).toEqual({ release: '1' });
  expect(entry?.files).toEqual(['kernel', 'modules/a.ko']);
  expect(entry?.digest('kernel')).toBe('6923dd1bc0460082c5d55a831908c24a282860b7f1cd6c2b79cf1bc8857c639c');
  expect(await readFile(entry?.path('modules/a.ko') ?? '', 'utf8')).toBe('module');
});

const DAMAGES: Readonly<Record<string, (file: string, manifest: string) => Promise<void>>> = {
  'a changed file of the same size': (file) => writeFile(file, 'kernxl'),
  'a file cut short': (file) => truncate(file, 2),
  'a file grown': (file) => appendFile(file, 'x'),
  'a missing file': (file) => rm(file),
  'a missing manifest': (_file, manifest) => rm(manifest),
  'a manifest cut short': (_file, manifest) => truncate(manifest, 20),
  'an empty manifest': (_file, manifest) => truncate(manifest, 0),
};

test.each(Object.keys(DAMAGES))('%s makes the entry absent, and publishing repairs it', async (name) => {
  const root = await makeTempDir();
  const store = new EntryStore(root);
  const entry = await store.publish('base', 'k', fill);
  await DAMAGES[name]?.(entry.path('kernel'), entry.path('manifest.json'));
  expect(await store.open('base', 'k')).toBeUndefined();
  await store.publish('base', 'k', fill);
  expect(await readFile(entry.path('kernel'), 'utf8')).toBe('kernel');
  expect(await store.open('base', 'k')).toBeDefined();
  expect(await folders(root)).toHaveLength(1);
});

test('a file changed under a clock that was put back is noticed', async () => {
  const store = new EntryStore(await makeTempDir());
  const entry = await store.publish('base', 'k', fill);
  const past = new Date(1_600_000_000_000);
  await utimes(entry.path('kernel'), past, past);
  expect(await store.open('base', 'k')).toBeDefined();
  await writeFile(entry.path('kernel'), 'kernxl');
  await utimes(entry.path('kernel'), past, past);
  expect(await store.open('base', 'k')).toBeUndefined();
});

test('digests that were verified in an earlier boot of the host are computed again', async () => {
  const store = new EntryStore(await makeTempDir());
  const entry = await store.publish('base', 'k', fill);
  const path = entry.path('verified.json');
  const verified = JSON.parse(await readFile(path, 'utf8')) as { bootId: string };
  await writeFile(path, JSON.stringify({ ...verified, bootId: 'another' }));
  expect(await store.open('base', 'k')).toBeDefined();
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(verified);
});

test('an entry whose folder is gone is absent and can be made again', async () => {
  const root = await makeTempDir();
  const store = new EntryStore(root);
  await store.publish('base', 'k', fill);
  await rm(join(root, 'entries'), { recursive: true });
  expect(await store.open('base', 'k')).toBeUndefined();
  expect((await store.publish('base', 'k', fill)).files).toContain('kernel');
});

test('a failure while an entry is made leaves nothing', async () => {
  const root = await makeTempDir();
  const store = new EntryStore(root);
  const failing = async (folder: string): Promise<never> => {
    await fill(folder);
    throw new Error('half way');
  };
  await expect(store.publish('base', 'k', failing)).rejects.toThrow('half way');
  expect(await folders(root)).toEqual([]);
  expect(await store.open('base', 'k')).toBeUndefined();
});

test('an abort while an entry is made leaves nothing', async () => {
  const root = await makeTempDir();
  const abort = new AbortController();
  const store = new EntryStore(root, abort.signal);
  const aborted = store.publish('base', 'k', async (folder) => {
    const facts = await fill(folder);
    abort.abort(new Error('enough'));
    return facts;
  });
  await expect(aborted).rejects.toThrow('enough');
  expect(await folders(root)).toEqual([]);
});

test('of several that publish the same key at once one is kept, and all get it', async () => {
  const root = await makeTempDir();
  const entries = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      new EntryStore(root).publish('base', 'k', (folder) => fill(folder, `kernel ${index}`)),
    ),
  );
  const kept = await new EntryStore(root).open('base', 'k');
  expect(new Set(entries.map((entry) => entry.digest('kernel')))).toEqual(new Set([kept?.digest('kernel')]));
  expect(await folders(root)).toHaveLength(1);
});

test('of several that repair the same entry at once all get an intact one', async () => {
  const root = await makeTempDir();
  const first = await new EntryStore(root).publish('base', 'k', fill);
  await writeFile(first.path('kernel'), 'broken');
  const repaired = await Promise.all(
    Array.from({ length: 8 }, () => new EntryStore(root).publish('base', 'k', (folder) => fill(folder))),
  );
  for (const entry of repaired) expect(entry.digest('kernel')).toBe(first.digest('kernel'));
  expect(await readFile(first.path('kernel'), 'utf8')).toBe('kernel');
});

test('what killed processes left is removed after a day, not before', async () => {
  const root = await makeTempDir();
  const store = new EntryStore(root);
  await store.publish('base', 'k', fill);
  const [old, recent] = [await store.makeFolder(), await store.makeFolder()];
  await symlink('nowhere', join(root, 'entries', 'link'));
  const longAgo = new Date(Date.now() - 25 * 60 * 60 * 1000);
  await utimes(old, longAgo, longAgo);
  await store.publish('initrd', 'i', fill);
  const left = (await folders(root)).map((name) => join(root, 'entries', name));
  expect(left).not.toContain(old);
  expect(left).toContain(recent);
  expect(await store.open('base', 'k')).toBeDefined();
});

test('the selected key is the one that was selected last', async () => {
  const store = new EntryStore(await makeTempDir());
  expect(await store.selected('base')).toBeUndefined();
  await store.publish('base', 'k1', fill);
  await store.select('base', 'k1');
  await store.select('base', 'k2');
  expect(await store.selected('base')).toBe('k2');
});
