import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chmod, link, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { versionOfSize } from '../../src/content/file-identity.js';
import { runProgram } from '../../src/host/program.js';
import { LocalImages, openImages } from '../../src/images/local-images.js';
import type { ImageProgress } from '../../src/progress.js';
import { LayoutBuilder, sha256, TYPES } from '../sources/layout-builder.js';
import { call, ImagesFixture, listSquashfs, makeLayer, readFromSquashfs } from './fixture.js';

let fixture: ImagesFixture;
let images: LocalImages;

beforeEach(async () => {
  fixture = await ImagesFixture.create();
  images = fixture.images;
});

describe('import', () => {
  test('makes one squashfs of all layers, with what the config says of commands', async () => {
    const { source, digest } = await fixture.layout(
      [
        { 'etc/a': 'lower', 'etc/gone': 'x' },
        { 'etc/a': 'upper', 'etc/.wh.gone': '' },
      ],
      { config: { Env: ['A=1'], WorkingDir: '/srv', User: 'me', Entrypoint: ['/e'], Cmd: ['c'] } },
    );
    const described = await images.import(source, 'app');
    expect(described).toMatchObject({ digest, names: ['app:latest'], users: [] });
    const resolved = await images.resolve('app', call);
    expect(resolved.digest).toBe(digest);
    expect(resolved.config).toEqual({
      env: { A: '1' },
      workingDir: '/srv',
      user: 'me',
      entrypoint: ['/e'],
      cmd: ['c'],
    });
    expect(readFromSquashfs(resolved.rootfsPath, 'etc/a')).toBe('upper');
    expect(listSquashfs(resolved.rootfsPath).join('\n')).not.toMatch(/gone/);
    expect((await stat(resolved.rootfsPath)).mode & 0o777).toBe(0o444);
  });

  test('of the same image gives the same bytes, down to the time of the root', async () => {
    const { source } = await fixture.layout([{ 'etc/a': 'a', 'usr/b': 'b'.repeat(300_000) }]);
    const other = new LocalImages(join(fixture.root, 'other'));
    await images.import(source, 'app');
    const one = await images.resolve('app', call);
    // A squashfs has whole seconds.
    const second = Math.floor(Date.now() / 1000);
    await expect.poll(() => Math.floor(Date.now() / 1000)).toBeGreaterThan(second);
    await other.import(source, 'app');
    const two = await other.resolve('app', call);
    expect((await readFile(one.rootfsPath)).equals(await readFile(two.rootfsPath))).toBe(true);
    expect(listSquashfs(one.rootfsPath)[0]).toMatch(/^drwxr-xr-x 0\/0 .* 2001-09-09 01:46 squashfs-root$/);
  });

  test('of a file system gives one digest, whether it is a folder or an archive, and however it is packed', async () => {
    const folder = join(fixture.root, 'tree');
    const layer = await makeLayer(folder, { 'etc/a': 'a' });
    const archive = join(fixture.root, 'root.tar');
    await writeFile(archive, layer);
    for (const [program, suffix] of [
      ['gzip', 'gz'],
      ['xz', 'xz'],
      ['zstd', 'zst'],
    ] as const) {
      const packed = await runProgram(program, ['-c', archive]);
      await writeFile(`${archive}.${suffix}`, packed);
    }
    const sources = [archive, `${archive}.gz`, `${archive}.xz`, `rootfs:${archive}.zst`];
    const found = [];
    for (const source of sources) found.push((await images.import(source, 'app')).digest);
    expect(new Set(found).size).toBe(1);
    const built = await images.build(folder, 'built', { config: { Cmd: ['/etc/a'], Env: ['A=1'] } });
    expect(built.config).toMatchObject({ cmd: ['/etc/a'], env: { A: '1' } });
    expect(readFromSquashfs((await images.resolve('built', call)).rootfsPath, 'etc/a')).toBe('a');
  });

  test('moves a name to the new image and leaves the old one to its other names', async () => {
    const one = await fixture.layout([{ a: '1' }]);
    const two = await fixture.layout([{ a: '2' }]);
    await images.import(one.source, 'app');
    await images.tag('app', 'app:old');
    await images.import(two.source, 'app:latest');
    expect((await images.resolve('app', call)).digest).toBe(two.digest);
    expect((await images.resolve('docker.io/library/app:old', call)).digest).toBe(one.digest);
    expect((await images.resolve(one.digest, call)).digest).toBe(one.digest);
    expect((await images.list()).map(({ names }) => names)).toEqual([['app:latest'], ['app:old']]);
  });

  test('of a layer that the store has from another image reads it once', async () => {
    const shared = { a: 'shared'.repeat(1000) };
    const one = await fixture.layout([shared]);
    const two = await fixture.layout([shared, { b: 'more' }]);
    await images.import(one.source, 'one');
    const [layer] = (await images.describe('one')).layers;
    await rm(two.builder.path(layer?.digest ?? ''));
    // The layout does not even have the layer any more.
    await images.import(two.source, 'two');
    expect(readFromSquashfs((await images.resolve('two', call)).rootfsPath, 'b')).toBe('more');
  });
});

describe('two imports of one image at once', () => {
  test('do the work once, in one process', async () => {
    const { source } = await fixture.layout([{ a: 'x'.repeat(100_000) }]);
    const steps: string[][] = [[], []];
    await Promise.all(
      [images, new LocalImages(fixture.store)].map((store, index) =>
        store.import(source, `app:${index}`, { onProgress: ({ step }) => steps[index]?.push(step) }),
      ),
    );
    expect(steps.filter((each) => each.includes('root file system'))).toHaveLength(1);
    expect(await fixture.content()).toMatchObject({ entries: 1, template: 1, names: 2, work: 0, holds: 0 });
  });

  test('do the work once, in two processes', async () => {
    const { source } = await fixture.layout([{ a: 'x'.repeat(100_000) }]);
    const program = fileURLToPath(new URL('import-child.ts', import.meta.url));
    const children = ['one', 'two'].map((name) =>
      fork(program, [fixture.store, source, name], {
        execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
      }),
    );
    const made: unknown[] = [];
    for (const child of children) child.on('message', (step) => made.push(step));
    expect(await Promise.all(children.map((child) => once(child, 'exit')))).toEqual([
      [0, null],
      [0, null],
    ]);
    expect(made).toEqual(['root file system']);
    expect(await fixture.content()).toMatchObject({ entries: 1, template: 1, names: 2, work: 0, holds: 0 });
  });
});

describe('what a stranger made wrong', () => {
  test('is refused with the entry and the layer, and leaves nothing', async () => {
    const layer = await runProgram('tar', ['-cPf', '-', '--transform=s,.*,../evil,', '/etc/hostname']);
    await mkdir(join(fixture.root, 'evil'));
    await writeFile(join(fixture.root, 'evil.tar'), layer);
    await expect(images.import(`rootfs:${join(fixture.root, 'evil.tar')}`, 'app')).rejects.toMatchObject({
      code: 'MICROVM_IMAGE_INVALID',
      details: { entry: '../evil', reason: expect.any(String) as string },
    });
    expect(await fixture.content()).toEqual({
      ...{ 'blobs/sha256': 0, entries: 0, template: 0, names: 0, work: 0, holds: 0 },
    });
  });

  test.each(['digest', 'diff_id', 'size'])('a layer of another %s is refused', async (what) => {
    const diffIds = what === 'diff_id' ? [`sha256:${'0'.repeat(64)}`] : undefined;
    const { source, builder } = await fixture.layout([{ a: '1' }], diffIds === undefined ? {} : { diffIds });
    const opened = await readdir(join(builder.folder, 'blobs', 'sha256'));
    for (const name of opened) {
      const path = join(builder.folder, 'blobs', 'sha256', name);
      const data = await readFile(path);
      if (data.subarray(0, 1).toString() === '{') continue;
      if (what === 'digest') await writeFile(path, Buffer.from(data).fill(1, 0, 1));
      if (what === 'size') await truncate(path, data.length - 512);
    }
    await expect(images.import(source, 'app')).rejects.toMatchObject({ code: 'MICROVM_IMAGE_INVALID' });
    expect(await fixture.content()).toEqual({
      ...{ 'blobs/sha256': 0, entries: 0, template: 0, names: 0, work: 0, holds: 0 },
    });
  });

  test('a layer that was packed anew is refused, though its files are the same', async () => {
    const layer = await makeLayer(join(fixture.root, 'tree'), { a: 'x'.repeat(10_000) });
    const builder = new LayoutBuilder(await fixture.folder('repacked'));
    const diffIds = [`sha256:${sha256(layer)}`];
    const packed = gzipSync(layer, { level: 1 });
    const options = { layers: [packed], layerType: `${TYPES.layer}+gzip`, diffIds };
    await builder.write([await builder.image(options)]);
    const again = gzipSync(layer, { level: 1 });
    // The system that the header of gzip names.
    again[9] = 0;
    await writeFile(builder.path(`sha256:${sha256(packed)}`), again);
    await expect(images.import(`oci:${builder.folder}`, 'app')).rejects.toMatchObject({
      code: 'MICROVM_IMAGE_INVALID',
      details: { reason: expect.stringMatching(/its digest is/) as string },
    });
  });

  test('a limit holds at its bound and one past', async () => {
    const { source } = await fixture.layout([{ a: '1', b: '2' }]);
    await expect(images.import(source, 'app', { limits: { entries: 1 } })).rejects.toMatchObject({
      code: 'MICROVM_IMAGE_INVALID',
    });
    await images.import(source, 'app', { limits: { entries: 3 } });
  });
});

describe('resolve', () => {
  test('of an unknown name says which there are and what to do', async () => {
    await images.import((await fixture.layout([{ a: '1' }])).source, 'app:1');
    for (const reference of ['other', `sha256:${'0'.repeat(64)}`]) {
      await expect(images.resolve(reference, call)).rejects.toMatchObject({
        code: 'MICROVM_IMAGE_NOT_FOUND',
        details: { image: reference },
        message: expect.stringContaining('app:1') as string,
        remedy: expect.stringContaining(`microvm-image pull ${reference}`) as string,
      });
    }
  });

  test('does not read a template again because a VM got a link of it', async () => {
    await images.import((await fixture.layout([{ a: '1' }])).source, 'app');
    const { rootfsPath } = await images.resolve('app', call);
    const note = join(rootfsPath, '..', 'verified.json');
    const { ino } = await stat(note);
    await link(rootfsPath, join(fixture.root, 'link'));
    await images.resolve('app', call);
    // What was read is noted in a new file.
    expect((await stat(note)).ino).toBe(ino);
  });

  test('makes a damaged template again, of the layers', async () => {
    await images.import((await fixture.layout([{ a: '1' }])).source, 'app');
    const { rootfsPath } = await images.resolve('app', call);
    const before = await readFile(rootfsPath);
    await rm(rootfsPath);
    await writeFile(rootfsPath, 'x'.repeat(before.length));
    const steps: string[] = [];
    const again = await images.resolve('app', { ...call, progress: ({ step }) => steps.push(step) });
    expect(steps).toContain('image: root file system');
    expect((await readFile(again.rootfsPath)).equals(before)).toBe(true);
  });

  test('of a damaged template without its layers says what is wrong', async () => {
    const { digest } = await images.import((await fixture.layout([{ a: '1' }])).source, 'app');
    const { rootfsPath } = await images.resolve('app', call);
    await truncate(rootfsPath, 10);
    await rm(join(fixture.store, 'blobs', 'sha256'), { recursive: true });
    await mkdir(join(fixture.store, 'blobs', 'sha256'));
    await expect(images.resolve('app', call)).rejects.toMatchObject({
      code: 'MICROVM_IMAGE_INVALID',
      details: { source: digest, reason: 'the store has no such blob' },
    });
  });
});

test('verify finds what is missing or damaged, and nothing else', async () => {
  const { digest, layers } = await images.import((await fixture.layout([{ a: '1' }])).source, 'app');
  expect(await images.verify()).toEqual([]);
  const layer = layers[0]?.digest ?? '';
  const path = join(fixture.store, 'blobs', 'sha256', layer.slice(7));
  const data = await readFile(path);
  await rm(path);
  await writeFile(path, data.fill(7, 600, 601));
  const { rootfsPath } = await images.resolve('app', call);
  await rm(rootfsPath);
  expect(await images.verify('app')).toEqual([
    { image: digest, part: layer, problem: expect.stringMatching(/its digest is/) as string },
    { image: digest, part: 'rootfs.squashfs', problem: 'there is no such file' },
  ]);
});

test('what verify has found damaged is made again, also where only its content tells', async () => {
  const { digest } = await images.import((await fixture.layout([{ a: '1' }])).source, 'app');
  const { rootfsPath } = await images.resolve('app', call);
  const before = await readFile(rootfsPath);
  await chmod(rootfsPath, 0o644);
  await writeFile(rootfsPath, Buffer.from(before).fill(7, 600, 601));
  await chmod(rootfsPath, 0o444);
  const notes = join(dirname(rootfsPath), 'verified.json');
  const { identities, ...rest } = JSON.parse(await readFile(notes, 'utf8')) as {
    identities: Record<string, string | undefined>;
  };
  // As after damage by the disk: nothing but the content has changed since the file was read whole.
  const identity = await versionOfSize(rootfsPath, before.length);
  await writeFile(
    notes,
    JSON.stringify({ ...rest, identities: { ...identities, 'rootfs.squashfs': identity } }),
  );
  expect(await images.verify('app')).toMatchObject([{ image: digest, part: 'rootfs.squashfs' }]);
  const again = await images.resolve('app', call);
  expect((await readFile(again.rootfsPath)).equals(before)).toBe(true);
});

describe('an abort', () => {
  test.each(['before', 'layers', 'root file system'])('%s leaves nothing, and the old name', async (step) => {
    const old = await fixture.layout([{ a: 'old' }]);
    await images.import(old.source, 'app');
    const before = await fixture.content();
    const { source } = await fixture.layout([{ a: 'new'.repeat(100_000) }]);
    const abort = new AbortController();
    if (step === 'before') abort.abort(new Error('enough'));
    const onProgress = (progress: ImageProgress): void => {
      if (progress.step === step) abort.abort(new Error('enough'));
    };
    const { signal } = abort;
    await expect(images.import(source, 'app', { signal, onProgress })).rejects.toThrow('enough');
    expect((await images.resolve('app', call)).digest).toBe(old.digest);
    expect(await fixture.content()).toEqual({ ...before, holds: 1 });
  });
});

// A file system that is full needs a mount, which needs root.
test.skipIf(process.getuid?.() !== 0)(
  'a full disk is MICROVM_NO_SPACE, and leaves the old name',
  async () => {
    await mkdir(fixture.store);
    await runProgram('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'microvm-test', fixture.store]);
    onTestFinished(async () => {
      await runProgram('umount', [fixture.store]);
    });
    const old = await fixture.layout([{ a: 'old' }]);
    await images.import(old.source, 'app');
    const noise = Buffer.from(Array.from({ length: 900_000 }, () => Math.floor(Math.random() * 256)));
    const { source } = await fixture.layout([{ a: noise.toString('latin1') }]);
    await expect(images.import(source, 'app')).rejects.toMatchObject({ code: 'MICROVM_NO_SPACE' });
    expect((await images.resolve('app', call)).digest).toBe(old.digest);
    expect(await fixture.content()).toMatchObject({ work: 0, entries: 1, template: 1, names: 1 });
  },
);

test.each([
  ['a relative folder', { imageStore: 'here' }, 'options.imageStore'],
  ['an unknown option', { store: '/tmp' }, 'options.store'],
])('%s is refused', (_what, options, path) => {
  expect(() => openImages(options as object)).toThrow(
    expect.objectContaining({
      code: 'MICROVM_INVALID_ARGUMENT',
      details: expect.objectContaining({ path }) as object,
    }),
  );
});

test.each(['import', 'build'])(
  "what a caller's progress throws ends an %s, and not the process",
  async (verb) => {
    const { source } = await fixture.layout([{ a: '1' }]);
    const onProgress = ({ step }: { step: string }): void => {
      if (step === (verb === 'import' ? 'root file system' : 'layers'))
        throw new Error('the caller is broken');
    };
    const folder = source.slice('oci:'.length);
    const work =
      verb === 'import'
        ? fixture.images.import(source, 'app', { onProgress })
        : fixture.images.build(folder, 'app', { onProgress });
    await expect(work).rejects.toThrow('the caller is broken');
    expect(await fixture.content()).toMatchObject({ template: 0, names: 0, work: 0, holds: 0 });
  },
);
