import { execFileSync } from 'node:child_process';
import { link, mkdir, mkdtemp, readdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, test } from 'vitest';
import { readPart } from '../../src/sources/image-files.js';
import type { OfferedImage } from '../../src/sources/offered-image.js';
import { openSource } from '../../src/sources/open-source.js';
import { looksLikeImageArchive } from '../../src/sources/tar-index.js';
import { makeTempDir } from '../temp-dir.js';
import { LayoutBuilder, sha256, tagged } from './layout-builder.js';

let root: string;
let folder: string;

beforeEach(async () => {
  root = await makeTempDir();
  folder = join(root, 'saved');
  await mkdir(folder);
});

interface SavedLayer {
  readonly id: string;
  readonly content: string;
  /** A link to another file instead of the content. */
  readonly link?: string;
}

/** What `docker save` wrote before it wrote OCI layouts. */
async function save(layers: readonly SavedLayer[], options: { architecture?: string } = {}): Promise<void> {
  const { architecture = 'amd64' } = options;
  const diffIds = layers.map(({ content }) => `sha256:${sha256(content)}`);
  const config = JSON.stringify({ os: 'linux', architecture, rootfs: { type: 'layers', diff_ids: diffIds } });
  await writeFile(join(folder, `${sha256(config)}.json`), config);
  for (const layer of layers) {
    await mkdir(join(folder, layer.id));
    await writeFile(join(folder, layer.id, 'VERSION'), '1.0');
    const path = join(folder, layer.id, 'layer.tar');
    if (layer.link === undefined) await writeFile(path, layer.content);
    else await symlink(layer.link, path);
  }
  await writeFile(join(folder, 'repositories'), '{"app":{"latest":"x"}}');
  const saved = {
    Config: `${sha256(config)}.json`,
    RepoTags: ['app:latest'],
    Layers: layers.map(({ id }) => `${id}/layer.tar`),
  };
  await writeFile(join(folder, 'manifest.json'), JSON.stringify([saved]));
}

/** An entry of a tar archive with this content; `size` is what its header says of it. */
function entry(type: string, content: string, size = content.length): Buffer {
  const block = Buffer.alloc(512 + Math.ceil(content.length / 512) * 512);
  block.write('a', 0);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  block.write(`        ${type}`, 148);
  block.write(content, 512);
  const sum = block.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function pack(...options: string[]): string {
  const path = join(root, 'image.tar');
  execFileSync('tar', ['-cf', path, ...options, '-C', folder, '.']);
  return path;
}

async function layersOf(image: OfferedImage | undefined): Promise<string[]> {
  return Promise.all(
    (image?.layers ?? []).map(async (layer) => {
      const part = await layer.open();
      expect(sha256(await readPart(part, 0, part.sizeBytes))).toBe(layer.digest);
      return (await readPart(part, 0, part.sizeBytes)).toString();
    }),
  );
}

async function read(source: string): Promise<{ digest: string | undefined; layers: string[] }> {
  const opened = await openSource(source, { workDir: await mkdtemp(join(root, 'work-')) });
  const layers = await layersOf(opened.image);
  await opened.close();
  return { digest: opened.image?.digest, layers };
}

const TWO: readonly SavedLayer[] = [
  { id: 'a'.repeat(64), content: 'lower' },
  { id: 'b'.repeat(64), content: 'upper' },
];

test.each(['gnu', 'pax', 'ustar'])('an old archive is read: %s', async (format) => {
  await save(TWO);
  const path = pack(`--format=${format}`);
  const image = await read(path);
  expect(image.layers).toEqual(['lower', 'upper']);
  // The digest is of what is in the archive, not of the archive.
  expect(await read(`docker-archive:${pack('--sort=name', '--owner=7', '--mtime=@1')}`)).toEqual(image);
  expect((await read(`docker-archive:${path}:latest`)).digest).toBe(image.digest);
  await expect(read(`docker-archive:${path}:other`)).rejects.toMatchObject({
    code: 'MICROVM_INVALID_ARGUMENT',
    message: expect.stringContaining('app:latest') as string,
  });
});

test('names of any length are read, by PAX and by GNU tar', async () => {
  const id = `${'long/'.repeat(60)}x`;
  await mkdir(dirname(join(folder, id)), { recursive: true });
  await save([{ id, content: 'far away' }]);
  for (const format of ['gnu', 'pax']) {
    expect((await read(`docker-archive:${pack(`--format=${format}`)}`)).layers).toEqual(['far away']);
  }
});

test('a layer that is a link to another layer is the same one', async () => {
  const [first] = TWO;
  await save([
    { id: 'a'.repeat(64), content: 'lower' },
    { id: 'b'.repeat(64), content: 'lower', link: `../${first?.id}/layer.tar` },
  ]);
  await mkdir(join(folder, 'hard'));
  await link(join(folder, first?.id ?? '', 'layer.tar'), join(folder, 'hard', 'layer.tar'));
  expect((await read(pack())).layers).toEqual(['lower', 'lower']);
});

test.each([
  ['to a file of the host', '/etc/hostname', /link out of the archive/],
  ['up and out', '../../etc/hostname', /link out of the archive/],
  ['to itself', 'layer.tar', /in a circle/],
  ['to nothing', 'nothing.tar', /no such file/],
])('a layer that is a link %s is refused', async (_what, target, reason) => {
  await save([{ id: 'a'.repeat(64), content: 'lower', link: target }]);
  await expect(read(pack())).rejects.toMatchObject({
    code: 'MICROVM_IMAGE_INVALID',
    details: { reason: expect.stringMatching(reason) as string },
  });
});

test('an image for another platform is refused', async () => {
  await save(TWO, { architecture: 'arm64' });
  await expect(read(pack())).rejects.toMatchObject({
    code: 'MICROVM_UNSUPPORTED',
    message: expect.stringContaining('linux/arm64') as string,
  });
});

describe('a damaged archive', () => {
  test('that was cut short', async () => {
    await save([{ id: 'a'.repeat(64), content: 'x'.repeat(100_000) }]);
    const path = pack();
    await truncate(path, 60_000);
    await expect(read(`docker-archive:${path}`)).rejects.toMatchObject({ code: 'MICROVM_IMAGE_INVALID' });
  });

  test('that is none', async () => {
    const path = join(root, 'image.tar');
    await writeFile(path, 'x'.repeat(4096));
    await expect(read(`docker-archive:${path}`)).rejects.toMatchObject({
      code: 'MICROVM_IMAGE_INVALID',
      details: { reason: 'it is no tar archive' },
    });
  });

  test('whose gzip is damaged', async () => {
    await save([{ id: 'a'.repeat(64), content: 'y'.repeat(1000) }]);
    const path = pack('-z');
    await truncate(path, 200);
    await expect(read(`docker-archive:${path}`)).rejects.toMatchObject({
      code: 'MICROVM_IMAGE_INVALID',
      details: { reason: expect.stringMatching(/gzip is damaged/) as string },
    });
  });

  test('that unpacks to more than 200 times its size', async () => {
    const path = join(root, 'bomb.tar.gz');
    await writeFile(path, gzipSync(Buffer.alloc(100 * 1024 * 1024)));
    await expect(read(`docker-archive:${path}`)).rejects.toMatchObject({
      code: 'MICROVM_IMAGE_INVALID',
      details: { reason: expect.stringMatching(/unpacks to more than/) as string },
    });
  });
});

test.each([
  ['as it is', []],
  ['gzip', ['-z']],
  ['xz', ['-J']],
  ['zstd', ['--zstd']],
])('an OCI layout in an archive is read: %s', async (what, options) => {
  const layout = new LayoutBuilder(folder);
  const manifest = await layout.image({ layers: [Buffer.from('lower')] });
  await layout.write([tagged(manifest, 'v1')]);
  const path = pack(...options);
  // Of an archive in xz or zstd only the caller knows what it is: it is not unpacked to be looked at.
  const source = what === 'xz' || what === 'zstd' ? `oci-archive:${path}` : path;
  expect(await read(source)).toEqual({ digest: manifest.digest.slice(7), layers: ['lower'] });
  expect((await read(`oci-archive:${path}:v1`)).layers).toEqual(['lower']);
});

test('the same blobs in a folder, an archive and beside the files of docker give one digest', async () => {
  const layout = new LayoutBuilder(folder);
  const manifest = await layout.image({ layers: [Buffer.from('lower')] });
  await layout.write([manifest]);
  const blob = (name: string): string => `blobs/sha256/${name}`;
  const names = (await readdir(join(folder, 'blobs', 'sha256'))).map(blob);
  await writeFile(
    join(folder, 'manifest.json'),
    JSON.stringify([{ Config: names[0], RepoTags: null, Layers: names.slice(1) }]),
  );
  const digests = [folder, `oci:${folder}`, pack()].map(async (source) => (await read(source)).digest);
  expect(new Set(await Promise.all(digests))).toEqual(new Set([manifest.digest.slice(7)]));
});

test('names longer than Linux has them are refused, as all names are kept in memory', async () => {
  const path = join(root, 'names.tar');
  for (const length of [4095, 4096]) {
    const name = `${'x'.repeat(length - 2)}/y`;
    const record = ` path=${name}\n`;
    await writeFile(path, Buffer.concat([entry('x', `${record.length + 4}${record}`), entry('0', '')]));
    const reading = read(`docker-archive:${path}`);
    if (length === 4095) await expect(reading).rejects.toThrow(/"manifest.json": there is no such file/);
    else await expect(reading).rejects.toThrow(/a name has more than 4095 bytes/);
  }
});

describe('what an archive is', () => {
  test('is said of a damaged gzip as of any other damage', async () => {
    await writeFile(join(folder, 'file'), 'x'.repeat(100_000));
    const path = pack('-z');
    await truncate(path, 40);
    await expect(read(path)).rejects.toMatchObject({
      code: 'MICROVM_IMAGE_INVALID',
      details: { source: path, reason: expect.stringMatching(/gzip is damaged/) as string },
    });
  });

  test('is known by its beginning, however much it unpacks to', async () => {
    async function* endless(): AsyncGenerator<Buffer> {
      yield entry('0', '', 8 ** 11 - 1);
      for (;;) yield Buffer.alloc(1024 * 1024);
    }
    expect(await looksLikeImageArchive(endless())).toBe(false);
  });
});

describe('a file system', () => {
  test.each([
    ['none', []],
    ['gzip', ['-z']],
    ['xz', ['-J']],
    ['zstd', ['--zstd']],
  ])('in a tar archive is known by its first names: %s', async (compression, options) => {
    await mkdir(join(folder, 'etc'));
    await writeFile(join(folder, 'etc', 'hostname'), 'x');
    const path = pack(...options);
    const opened = await openSource(path, { workDir: root });
    expect(opened.rootfs).toEqual({ path, compression });
  });

  test('in a folder is a folder', async () => {
    const opened = await openSource(folder, { workDir: root });
    expect(opened.rootfs).toEqual({ path: folder, compression: 'folder' });
  });
});

test.each(['/nonexistent/image.tar', 'oci:/nonexistent', 'docker-archive:/nonexistent:tag'])(
  'what is not there is a wrong argument: %s',
  async (source) => {
    await expect(read(source)).rejects.toMatchObject({
      code: 'MICROVM_INVALID_ARGUMENT',
      details: { path: 'source' },
    });
  },
);
