import { fork } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { ImageConfig } from '@microvm/runtime';
import { runProgram } from '../../src/host/program.js';
import { LocalImages } from '../../src/images/local-images.js';
import { ImagesFixture, makeLayer, type Tree } from '../images/fixture.js';
import { LayoutBuilder, sha256, TYPES } from '../sources/layout-builder.js';
import { CAPABILITY, makeDebianLayout } from './debian-image.js';
import { Registry } from './registry.js';
import { listTree } from './tree-listing.js';

// No user of this host: its programs may do what strangers may.
const STRANGER = 61_234;
const isRoot = process.getuid?.() === 0;

let folder: string;
let registry: Registry;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'microvm-registry-'));
  await chmod(folder, 0o755);
  registry = await Registry.start(folder);
  await chmod(registry.authFile, 0o644);
});

afterAll(async () => {
  await registry.stop();
  await rm(folder, { recursive: true });
});

const options = (): { authFile: string; tlsVerify: false } => ({
  authFile: registry.authFile,
  tlsVerify: false,
});

interface Pulled {
  readonly digest: string;
  readonly rootfsPath: string;
  readonly config: ImageConfig;
}

/** In a process of its own, which is no longer root when it begins. */
async function pullAsStranger(store: string, reference: string): Promise<Pulled> {
  const program = fileURLToPath(new URL('pull-as-user.ts', import.meta.url));
  const child = fork(program, [store, reference, registry.authFile, String(STRANGER)], {
    execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
    env: { ...process.env, HOME: store, XDG_RUNTIME_DIR: store },
  });
  const told = once(child, 'message') as Promise<[Pulled]>;
  const [[pulled]] = await Promise.all([told, once(child, 'exit')]);
  return pulled;
}

// umoci unpacks as root what only root may make.
// umoci unpacks owners, devices and capabilities only as root.
describe.skipIf(!isRoot)('a Debian image of two layers', () => {
  let layout: string;
  let digest: string;

  beforeAll(async () => {
    layout = await makeDebianLayout(folder);
    const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as {
      manifests: [{ digest: string }];
    };
    digest = index.manifests[0].digest;
  });

  test('that is pushed, and pulled by a user without rights, is what umoci unpacks as root', async () => {
    const { images } = await ImagesFixture.create();
    await images.import(`oci:${layout}:app`, 'debian-app');
    const name = `${registry.name}/team/app:1`;
    expect(await images.push('debian-app', name, options())).toEqual({ digest, to: name });

    const store = join(folder, 'store');
    await mkdir(store);
    await chown(store, STRANGER, STRANGER);
    const pulled = await pullAsStranger(store, name);
    expect(pulled.digest).toBe(digest);
    expect(pulled.config).toEqual({
      env: { PATH: '/usr/bin:/bin' },
      ...{ workingDir: '/srv', user: '1234:5678', entrypoint: [], cmd: ['/bin/bash'] },
    });
    expect((await stat(pulled.rootfsPath)).uid).toBe(STRANGER);

    const bundle = join(folder, 'bundle');
    await runProgram('umoci', ['unpack', '--image', `${layout}:app`, bundle]);
    const own = join(folder, 'own');
    await runProgram('unsquashfs', ['-quiet', '-no-progress', '-d', own, pulled.rootfsPath]);
    const [expected, actual] = [await listTree(join(bundle, 'rootfs')), await listTree(own)];
    const text = actual.join('\n');
    for (const part of [
      `security.capability=0x${CAPABILITY.toString('hex')}`,
      './srv/setuid|regular file|4755|1234:5678',
      './srv/not-utf8-\xff\xfe',
      'character special file|666|0:0|1|1:3',
      './srv/fifo|fifo|622',
    ]) {
      expect(text).toContain(part);
    }
    expect(text).not.toMatch(/\.wh\./);
    expect(actual.length).toBeGreaterThan(1000);
    const without = (lines: string[], others: Set<string>): string[] =>
      lines.filter((line) => !others.has(line));
    expect({
      missing: without(expected, new Set(actual)),
      more: without(actual, new Set(expected)),
    }).toEqual({ missing: [], more: [] });
  });
});

describe('a registry', () => {
  /** Where the registry keeps a blob. */
  const blobPath = (digest: string): string => {
    const hex = digest.slice('sha256:'.length);
    return join(registry.data, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  };

  async function push(fixture: ImagesFixture, name: string, trees: readonly Tree[]): Promise<string[]> {
    const { images } = await ImagesFixture.create();
    const folder = await mkdtemp(join(fixture.root, 'packed-'));
    const gzip = `${TYPES.layer}+gzip`;
    const layers = await Promise.all(
      trees.map(async (tree, index) => makeLayer(join(folder, `tree-${index}`), tree)),
    );
    const builder = new LayoutBuilder(join(folder, 'layout'));
    await mkdir(builder.folder);
    const diffIds = layers.map((layer) => `sha256:${sha256(layer)}`);
    const packed = layers.map((layer) => gzipSync(layer));
    await builder.write([await builder.image({ layers: packed, layerType: gzip, diffIds })]);
    const { layers: pushed } = await images.import(`oci:${builder.folder}`, 'app');
    await images.push('app', `${registry.name}/${name}`, options());
    return pushed.map(({ digest }) => digest);
  }

  test('that wants a password says what to do', async () => {
    const { images } = await ImagesFixture.create();
    await expect(images.pull(`${registry.name}/app`, { tlsVerify: false })).rejects.toMatchObject({
      code: 'MICROVM_HOST_FAILURE',
      remedy: expect.stringContaining('skopeo login') as string,
    });
  });

  test('is not asked for a layer that the store has', async () => {
    const fixture = await ImagesFixture.create();
    const shared = { a: 'shared'.repeat(1000) };
    await push(fixture, 'shared', [shared]);
    await fixture.images.pull(`${registry.name}/shared`, options());
    const [layer = ''] = await push(fixture, 'more', [shared, { b: 'more' }]);
    await rm(blobPath(layer));
    const pulled = await fixture.images.pull(`${registry.name}/more:latest`, options());
    expect(pulled.names).toEqual([`${registry.name}/more:latest`]);
    expect(await fixture.images.verify()).toEqual([]);
  });

  test('whose blob is damaged gives no image, and the name keeps its old meaning', async () => {
    const fixture = await ImagesFixture.create();
    await push(fixture, 'damaged', [{ a: 'old' }]);
    const old = await fixture.images.pull(`${registry.name}/damaged`, options());
    const before = await fixture.content();
    const [layer = ''] = await push(fixture, 'damaged', [{ a: 'new'.repeat(1000) }]);
    const data = await readFile(blobPath(layer));
    await writeFile(blobPath(layer), data.fill(0, 20, 40));
    await expect(fixture.images.pull(`${registry.name}/damaged`, options())).rejects.toMatchObject({
      code: expect.stringMatching(/MICROVM_(HOST_FAILURE|IMAGE_INVALID)/) as string,
    });
    expect((await fixture.images.describe(`${registry.name}/damaged`)).digest).toBe(old.digest);
    expect(await fixture.content()).toEqual(before);
  });

  test.each([0, 1])('of which a pull is aborted after %i blobs leaves nothing', async (after) => {
    const fixture = await ImagesFixture.create();
    await push(fixture, 'aborted', [{ a: '1' }, { b: '2' }]);
    const abort = new AbortController();
    const pulling = fixture.images.pull(`${registry.name}/aborted`, {
      ...options(),
      signal: abort.signal,
      onProgress: ({ step, done }) => {
        if (step === 'pull' && done === after) abort.abort(new Error('enough'));
      },
    });
    await expect(pulling).rejects.toThrow('enough');
    expect(await fixture.content()).toEqual({
      ...{ 'blobs/sha256': 0, entries: 0, template: 0, names: 0, work: 0, holds: 0 },
    });
  });

  test('that is gone is a failure of the host', async () => {
    const fixture = await ImagesFixture.create();
    const gone = await Registry.start(await fixture.folder('gone'));
    await gone.stop();
    const call = { ...options(), retries: 0 };
    await expect(fixture.images.pull(`${gone.name}/app`, call)).rejects.toMatchObject({
      code: 'MICROVM_HOST_FAILURE',
      message: expect.stringContaining('connection refused') as string,
    });
  });
});

test("a second pull of an image leaves the store's own files as they are", async () => {
  const fixture = await ImagesFixture.create();
  const { source } = await fixture.layout([{ a: '1' }]);
  const { digest } = await fixture.images.pull(`${source}:v1`, { as: 'app' });
  const manifest = join(fixture.store, 'blobs', 'sha256', digest.slice('sha256:'.length));
  await utimes(manifest, 1000, 1000);
  const before = await stat(manifest);
  const again = await fixture.images.pull(`${source}:v1`, { as: 'app' });
  expect(again.digest).toBe(digest);
  const { ino, mtimeMs } = await stat(manifest);
  expect({ ino, mtimeMs }).toEqual({ ino: before.ino, mtimeMs: before.mtimeMs });
});

test('a store that skopeo would take for another path is refused, and nothing is written there', async () => {
  const fixture = await ImagesFixture.create();
  const { source } = await fixture.layout([{ a: '1' }]);
  const images = new LocalImages(join(fixture.root, 'a:b'));
  await expect(images.pull(`${source}:v1`, { as: 'app' })).rejects.toMatchObject({
    code: 'MICROVM_INVALID_ARGUMENT',
    details: { path: 'imageStore' },
  });
  expect(await readdir(fixture.root)).not.toContain('a');
});

test('without skopeo the error says what to install', async () => {
  const fixture = await ImagesFixture.create();
  const path = await fixture.folder('programs');
  const setpriv = (await runProgram('which', ['setpriv'])).toString().trim();
  await symlink(setpriv, join(path, 'setpriv'));
  vi.stubEnv('PATH', path);
  onTestFinished(() => void vi.unstubAllEnvs());
  await expect(fixture.images.pull('debian')).rejects.toMatchObject({
    code: 'MICROVM_HOST_UNSUPPORTED',
    details: { findings: ['program-missing'] },
    remedy: 'install skopeo: apt-get install skopeo',
  });
});
