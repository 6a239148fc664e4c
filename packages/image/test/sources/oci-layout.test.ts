import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { FolderFiles, readPart } from '../../src/sources/image-files.js';
import { readOciLayout } from '../../src/sources/oci-layout.js';
import type { OfferedImage } from '../../src/sources/offered-image.js';
import { makeTempDir } from '../temp-dir.js';
import { LayoutBuilder, tagged, TYPES } from './layout-builder.js';

const ARM = { os: 'linux', architecture: 'arm64' };
const AMD = { os: 'linux', architecture: 'amd64' };
let root: string;
let layout: LayoutBuilder;

beforeEach(async () => {
  root = await makeTempDir();
  layout = new LayoutBuilder(join(root, 'layout'));
  await mkdir(layout.folder);
});

function read(tag?: string): Promise<OfferedImage> {
  return readOciLayout(new FolderFiles(layout.folder, 'oci:test'), { tag });
}

async function contentOf(image: OfferedImage, index = 0): Promise<string | undefined> {
  const part = await image.layers[index]?.open();
  const data = part && (await readPart(part, 0, part.sizeBytes));
  await part?.close();
  return data?.toString();
}

async function invalid(reason: RegExp, entry?: unknown): Promise<void> {
  await expect(read()).rejects.toMatchObject({
    code: 'MICROVM_IMAGE_INVALID',
    details: {
      source: 'oci:test',
      reason: expect.stringMatching(reason) as string,
      ...(entry === undefined ? {} : { entry }),
    },
  });
}

test('an image has its layers in order, its config and the digest of its manifest', async () => {
  const manifest = await layout.image({
    layers: [Buffer.from('lower'), Buffer.from('upper')],
    config: { Env: ['A=1'] },
  });
  await layout.write([manifest]);
  const image = await read();
  expect(`sha256:${image.digest}`).toBe(manifest.digest);
  expect(image.config.config?.Env).toEqual(['A=1']);
  expect([await contentOf(image, 0), await contentOf(image, 1)]).toEqual(['lower', 'upper']);
});

describe('of several images', () => {
  test('the one for linux/amd64 is taken, from nested indexes and by its config where nothing else says it', async () => {
    const amd = await layout.image();
    const arm = await layout.image({ architecture: 'arm64' });
    const attestation = { ...(await layout.image()), platform: { os: 'unknown', architecture: 'unknown' } };
    const inner = await layout.index([{ ...arm, platform: ARM }, amd, attestation]);
    await layout.write([arm, await layout.index([inner])]);
    expect(`sha256:${(await read()).digest}`).toBe(amd.digest);
  });

  test('the one with the tag is taken, and without a tag the error names the tags', async () => {
    const one = tagged(await layout.image({ layers: [Buffer.from('1')] }), 'one');
    const two = tagged(await layout.image({ layers: [Buffer.from('2')] }), 'registry/app:two');
    await layout.write([one, two]);
    expect(await contentOf(await read('one'))).toBe('1');
    expect(await contentOf(await read('two'))).toBe('2');
    await expect(read()).rejects.toMatchObject({
      code: 'MICROVM_INVALID_ARGUMENT',
      message: expect.stringMatching(/one, registry\/app:two/) as string,
    });
    await expect(read('three')).rejects.toMatchObject({ code: 'MICROVM_INVALID_ARGUMENT' });
  });

  test('none for linux/amd64 is an error that lists what there is', async () => {
    const arm = { ...(await layout.image({ architecture: 'arm64' })), platform: ARM };
    const windows = await layout.image({ os: 'windows' });
    await layout.write([await layout.index([arm, windows])]);
    await expect(read()).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
      message: expect.stringMatching(/linux\/arm64, windows\/amd64/) as string,
    });
  });

  test('a platform that a descriptor claims and the config denies is not believed', async () => {
    await layout.write([{ ...(await layout.image({ architecture: 'arm64' })), platform: AMD }]);
    await expect(read()).rejects.toMatchObject({ code: 'MICROVM_UNSUPPORTED' });
  });
});

describe('links', () => {
  test('from one blob into the layout are followed', async () => {
    const manifest = await layout.image();
    await layout.write([manifest]);
    await rename(layout.path(manifest.digest), join(layout.folder, 'manifest.json'));
    await symlink('../../manifest.json', layout.path(manifest.digest));
    expect(`sha256:${(await read()).digest}`).toBe(manifest.digest);
  });

  test.each(['an absolute link', 'a relative link', 'a folder of blobs that is a link'])(
    'out of the layout are refused: %s',
    async (what) => {
      const manifest = await layout.image();
      await layout.write([manifest]);
      const outside = join(root, 'outside');
      const blob = layout.path(manifest.digest);
      if (what === 'a folder of blobs that is a link') {
        await rename(join(layout.folder, 'blobs'), outside);
        await symlink(outside, join(layout.folder, 'blobs'));
      } else {
        await rename(blob, outside);
        await symlink(what === 'an absolute link' ? outside : '../../../outside', blob);
      }
      await invalid(/link out of the layout/);
    },
  );

  test.each(['FIFO', 'device', 'folder', 'circle of links'])('to no file are refused: a %s', async (what) => {
    const manifest = await layout.image();
    await layout.write([manifest]);
    const path = layout.path(manifest.digest);
    await rm(path);
    if (what === 'FIFO') execFileSync('mkfifo', [path]);
    if (what === 'device') await symlink('/dev/zero', path);
    if (what === 'folder') await mkdir(path);
    if (what === 'circle of links') await symlink(path, path);
    await invalid(/no regular file|link out of the layout/);
  });
});

test('what a link out of the layout leads to is not even opened', async () => {
  const manifest = await layout.image();
  await layout.write([manifest]);
  const server = createServer().listen(join(root, 'outside.sock'));
  await once(server, 'listening');
  await rm(layout.path(manifest.digest));
  await symlink(join(root, 'outside.sock'), layout.path(manifest.digest));
  // Opened, a socket is ENXIO.
  await invalid(/link out of the layout/);
  server.close();
});

describe('what is wrong is said', () => {
  test('no index.json', async () => invalid(/no such file/, 'index.json'));

  test.each([
    ['no JSON', '{', /no JSON/],
    ['no index', '{"schemaVersion":2}', /manifests/],
    ['another version', '{"schemaVersion":1,"manifests":[]}', /schemaVersion/],
    ['nothing in it', '{"schemaVersion":2,"manifests":[]}', /no image in it/],
    [
      'a digest that is a path',
      `{"schemaVersion":2,"manifests":[{"mediaType":"${TYPES.manifest}","size":1,"digest":"sha256:../../etc/passwd"}]}`,
      /digest/,
    ],
  ])('an index that is %s', async (_what, text, reason) => {
    await writeFile(join(layout.folder, 'index.json'), text);
    await invalid(reason);
  });

  test('a manifest that has changed, by its digest', async () => {
    const manifest = await layout.image();
    await layout.write([manifest]);
    await writeFile(layout.path(manifest.digest), 'x'.repeat(manifest.size));
    await invalid(/its digest is sha256:/, manifest.digest);
  });

  test('a manifest that was cut short, by its size', async () => {
    const manifest = await layout.image();
    await layout.write([manifest]);
    await truncate(layout.path(manifest.digest), 10);
    await invalid(/10 bytes, expected/, manifest.digest);
  });

  test('a blob that is missing', async () => {
    const manifest = await layout.image();
    await layout.write([manifest]);
    await rm(layout.path(manifest.digest));
    await invalid(/no such blob/, manifest.digest);
  });

  test.each([
    ['encrypted', `${TYPES.layer}+gzip+encrypted`, /is encrypted/],
    ['of another kind', 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', /unknown type/],
  ])('a layer that is %s', async (_what, layerType, reason) => {
    await layout.write([await layout.image({ layerType })]);
    await invalid(reason);
  });

  test('more diff_ids than layers', async () => {
    const digest = `sha256:${'0'.repeat(64)}`;
    await layout.write([await layout.image({ diffIds: [digest, digest] })]);
    await invalid(/knows 2 layers, its manifest 1/);
  });

  test('one layer more than 128, which are fine', async () => {
    const layers = Array.from({ length: 129 }, (_, index) => Buffer.from(String(index)));
    await layout.write([await layout.image({ layers: layers.slice(1) })]);
    expect((await read()).layers).toHaveLength(128);
    await layout.write([await layout.image({ layers })]);
    await invalid(/layers/);
  });

  test('a config of one byte more than 4 MiB, which is fine', async () => {
    const size = async (extra: object): Promise<number> => {
      const manifest = await layout.image({ extra });
      await layout.write([manifest]);
      const bytes = JSON.parse((await read()).manifestData.toString()) as { config: { size: number } };
      return bytes.config.size;
    };
    const without = await size({ note: '' });
    const room = 4 * 1024 * 1024 - without;
    expect(await size({ note: 'x'.repeat(room) })).toBe(4 * 1024 * 1024);
    await layout.write([await layout.image({ extra: { note: 'x'.repeat(room + 1) } })]);
    await invalid(/expected at most 4194304/);
  });

  test('indexes that are nested without an end in sight', async () => {
    let inner = await layout.image();
    for (let depth = 0; depth < 5; depth += 1) inner = await layout.index([inner]);
    await layout.write([inner]);
    await invalid(/nested more than 4 deep/);
  });

  test('indexes that lead to one image on more ways than anybody could go', async () => {
    let inner = await layout.image();
    for (let depth = 0; depth < 4; depth += 1) inner = await layout.index(Array(8).fill(inner));
    await layout.write([inner]);
    await invalid(/lead to more than 1024 documents/);
  });

  test('in letters that a terminal does not act on', async () => {
    await layout.write([await layout.image({ layerType: 'x\u001b]0;owned\u0007' })]);
    await invalid(/unknown type "x\\x1b\]0;owned\\x07"/);
  });
});
