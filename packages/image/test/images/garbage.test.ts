import { chmod, mkdir, readdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { collectGarbage } from '../../src/images/collect-garbage.js';
import { ImageFolder } from '../../src/images/image-folder.js';
import { LocalImages } from '../../src/images/local-images.js';
import { call, ImagesFixture } from './fixture.js';

let fixture: ImagesFixture;
let images: LocalImages;
let stateDir: string;
let digest: string;

const EMPTY = { 'blobs/sha256': 0, entries: 0, template: 0, names: 0, work: 0, holds: 0 };
const ONE = { 'blobs/sha256': 3, entries: 1, template: 1, names: 0, work: 0, holds: 0 };

beforeEach(async () => {
  fixture = await ImagesFixture.create();
  stateDir = join(fixture.root, 'state');
  images = new LocalImages(fixture.store, stateDir);
  ({ digest } = await images.import((await fixture.layout([{ a: '1' }])).source, 'app'));
});

async function use(): Promise<void> {
  const resolved = await images.resolve('app', call);
  resolved.release?.();
  await mkdir(stateDir, { recursive: true });
  await expect.poll(async () => (await fixture.content())['holds']).toBe(0);
}

test('an image with a name stays; without one it goes, with its layers', async () => {
  expect((await images.gc()).removed).toEqual([]);
  await images.release('app');
  const planned = await images.gc({ dryRun: true });
  expect(planned.removed.map(({ kind }) => kind).toSorted()).toEqual(['blob', 'blob', 'blob', 'template']);
  expect(await fixture.content()).toEqual(ONE);
  expect(await images.gc()).toEqual(planned);
  expect(planned.freedBytes).toBeGreaterThan(4096);
  expect(await fixture.content()).toEqual(EMPTY);
  await expect(images.release('app')).rejects.toMatchObject({ code: 'MICROVM_IMAGE_NOT_FOUND' });
});

test('a layer that another image has stays', async () => {
  const { source } = await fixture.layout([{ a: '1' }, { b: '2' }]);
  const other = await images.import(source, 'other');
  await images.release('app');
  await images.gc();
  expect(await fixture.content()).toMatchObject({ 'blobs/sha256': 4, template: 1 });
  expect(await images.verify()).toEqual([]);
  expect((await images.resolve('other', call)).digest).toBe(other.digest);
});

test('an image that a call has resolved stays until its release, in whatever process', async () => {
  const resolved = await images.resolve('app', call);
  await images.release('app');
  const elsewhere = new LocalImages(fixture.store);
  expect((await elsewhere.gc()).removed).toEqual([]);
  resolved.release?.();
  await expect.poll(async () => (await elsewhere.gc()).removed.length).toBe(4);
});

test('an image that a call names, and lets go of, while the marks are made stays', async () => {
  await images.release('app');
  const folder = new ImageFolder(fixture.store);
  const letGo = await folder.holds.hold(digest.slice(7));
  const list = folder.names.list.bind(folder.names);
  vi.spyOn(folder.names, 'list').mockImplementation(async () => {
    const names = await list();
    await folder.names.set('app:latest', digest);
    await letGo();
    return names;
  });
  expect((await collectGarbage(folder, {})).removed).toEqual([]);
  expect((await images.describe('app')).digest).toBe(digest);
});

test('a name that is given up while the names are read is no damage', async () => {
  await symlink('nowhere', join(fixture.store, 'names', `${'0'.repeat(64)}.json`));
  expect((await images.list()).map(({ names }) => names)).toEqual([['app:latest']]);
});

test("a hold that cannot be let go of is nobody's error", async () => {
  const resolved = await images.resolve('app', call);
  await rename(join(fixture.store, 'holds'), join(fixture.store, 'lost+found'));
  await writeFile(join(fixture.store, 'holds'), '');
  const unhandled = vi.fn();
  process.once('unhandledRejection', unhandled);
  resolved.release?.();
  await images.list();
  process.off('unhandledRejection', unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});

test.each(['work', 'entries', 'template'])(
  'a folder of other things, with a folder `%s` in it, is no store, and nothing in it is touched',
  async (name) => {
    const home = await fixture.folder('home');
    await mkdir(join(home, name, 'thesis'), { recursive: true });
    await writeFile(join(home, '.profile'), '');
    const elsewhere = new LocalImages(home);
    await expect(elsewhere.gc()).rejects.toMatchObject({
      code: 'MICROVM_INVALID_ARGUMENT',
      details: { path: 'imageStore' },
    });
    expect((await readdir(home)).toSorted()).toEqual(['.profile', name]);
    expect(await readdir(join(home, name))).toEqual(['thesis']);
  },
);

test('a hold of a process that is dead, or of another boot, holds nothing', async () => {
  await images.release('app');
  const hex = digest.slice(7);
  for (const holder of [
    `4194304.1.00000000-0000-0000-0000-000000000000`,
    `${process.pid}.1.00000000-0000-0000-0000-000000000000`,
  ]) {
    await writeFile(join(fixture.store, 'holds', `${hex}.${holder}.0123456789abcdef`), '');
  }
  await images.gc();
  expect(await fixture.content()).toEqual(EMPTY);
});

describe('a registered state directory', () => {
  test.each([
    ['a VM', 'vm', 'web'],
    ['a snapshot', 'snapshot', 'snap'],
  ])('keeps the image that a record of %s names, and release says so', async (_what, kind, id) => {
    await use();
    if (kind === 'vm') await fixture.record(stateDir, id, { state: 'stopped', spec: { image: digest } });
    else {
      await mkdir(join(stateDir, 'snapshots', 'u1'), { recursive: true });
      const manifest = { snapshotId: id, spec: { image: digest } };
      await writeFile(join(stateDir, 'snapshots', 'u1', 'manifest.json'), JSON.stringify(manifest));
    }
    expect((await images.describe('app')).users).toEqual([{ stateDir, kind, id }]);
    expect(await images.release('app')).toEqual({
      ...{ name: 'app:latest', digest, names: [], users: [{ stateDir, kind, id }] },
    });
    expect((await images.gc()).removed).toEqual([]);
    expect((await images.list()).map(({ names }) => names)).toEqual([[]]);
    await rm(join(stateDir, kind === 'vm' ? 'vms' : 'snapshots'), { recursive: true });
    await images.gc();
    expect(await fixture.content()).toEqual(EMPTY);
  });

  test('keeps nothing by the record of a destroyed VM, nor when the directory is gone', async () => {
    await use();
    await images.release('app');
    await fixture.record(stateDir, 'old', { state: 'destroyed', spec: { image: digest } });
    await images.gc();
    expect(await fixture.content()).toEqual(EMPTY);
    await rm(stateDir, { recursive: true });
    expect((await images.gc()).unreadable).toEqual([]);
  });

  test.each(['a record that is cut short', 'a directory that is a file', 'a registration that is damaged'])(
    'that cannot be read keeps everything: %s',
    async (what) => {
      await use();
      await images.release('app');
      if (what === 'a record that is cut short') {
        await fixture.record(stateDir, 'web', {});
        await writeFile(join(stateDir, 'vms', 'i-web', 'vm.json'), '{"vmId":"we');
      } else if (what === 'a directory that is a file') {
        await rm(stateDir, { recursive: true });
        await mkdir(stateDir);
        await writeFile(join(stateDir, 'vms'), '');
      } else {
        await writeFile(join(fixture.store, 'state-dirs', `${'0'.repeat(64)}.json`), '{');
      }
      const { removed, unreadable } = await images.gc();
      expect(removed).toEqual([]);
      expect(unreadable).toEqual([
        { stateDir: expect.any(String) as string, problem: expect.any(String) as string },
      ]);
      expect(await fixture.content()).toEqual(ONE);
    },
  );

  test('that is closed to this user keeps everything', async () => {
    await use();
    await images.release('app');
    await fixture.record(stateDir, 'web', { spec: { image: digest } });
    if (process.getuid?.() === 0) {
      // Root may read everything; a link to itself can be followed by nobody.
      await rm(stateDir, { recursive: true });
      await symlink(stateDir, stateDir);
    } else await chmod(stateDir, 0o000);
    expect((await images.gc()).removed).toEqual([]);
    if (process.getuid?.() !== 0) await chmod(stateDir, 0o700);
  });
});

test('unused images stay, those used last first, as long as they have room', async () => {
  const second = await images.import((await fixture.layout([{ b: '2' }])).source, 'second');
  const third = await images.import((await fixture.layout([{ c: '3' }])).source, 'third');
  for (const name of ['app', 'second', 'third']) await images.release(name);
  const template = (hex: string): string => join(fixture.store, 'template', `${hex.slice(7)}-v1`);
  for (const [index, hex] of [digest, third.digest, second.digest].entries()) {
    await utimes(template(hex), 1000 + index, 1000 + index);
  }
  const { rootfsBytes } = second;
  await images.gc({ keepBytes: 2 * rootfsBytes + 3 * 1024 });
  expect((await images.list()).map((image) => image.digest).toSorted()).toEqual(
    [second.digest, third.digest].toSorted(),
  );
  expect(await images.verify()).toEqual([]);
  await images.gc();
  expect(await fixture.content()).toEqual(EMPTY);
});

test('the next open sweeps what a killed process left half made, and touches no work of a living one', async () => {
  await mkdir(join(fixture.store, 'work', 'dead', 'own', 'pulled-blobs', 'sha256'), { recursive: true });
  await writeFile(join(fixture.store, 'work', 'dead', 'own', 'pulled-blobs', 'oci-put-blob123'), 'x');
  await mkdir(join(fixture.store, 'entries', 'unlinked'));
  let isAlive = false;
  const { source } = await fixture.layout([{ z: 'z' }]);
  await images.import(source, 'z', {
    onProgress: ({ step }) => {
      if (step !== 'root file system' || isAlive) return;
      isAlive = true;
      sweeping.push(new LocalImages(fixture.store).list());
    },
  });
  await Promise.all(sweeping);
  expect(isAlive).toBe(true);
  expect(await fixture.content()).toMatchObject({ work: 0, entries: 2, template: 2 });
});

const sweeping: Promise<unknown>[] = [];
