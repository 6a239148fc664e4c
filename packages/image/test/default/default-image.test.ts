import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ErrorCode, isVmRuntimeError, type VmRuntimeError } from '@microvm/runtime';
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { ensureDefaultImage, type ImageInputs, makeDefaultImage } from '../../src/default/default-image.js';
import { runProgram } from '../../src/host/program.js';
import type { ImageProgress } from '../../src/progress.js';
import { DebianRepository } from './debian-repository.js';
import { makeTempDir } from '../temp-dir.js';

const DEBIAN = { osRelease: 'NAME="Debian"\nID=debian\n', arch: 'x64' };
const REPOSITORY_GONE = 'the repository was taken away';

let original: DebianRepository;
let folder: string;
let repository: DebianRepository;
let inputs: ImageInputs;
let progress: ImageProgress[];

beforeAll(async () => {
  const shared = await mkdtemp(join(tmpdir(), 'microvm-image-repository-'));
  original = await DebianRepository.create(shared);
  await original.addBusybox('1:1.35.0-4+b1');
  await original.addLz4('1.9.4-1');
  await original.addKernel('6.1.0-9-cloud-amd64', '6.1.27-1', 'kernel nine');
  await original.addKernel('6.1.0-10-cloud-amd64', '6.1.38-1', 'kernel ten');
  return () => rm(shared, { recursive: true });
});

beforeEach(async () => {
  folder = await makeTempDir();
  await mkdir(join(folder, 'repository'));
  repository = await original.copyTo(join(folder, 'repository'));
  await writeFile(join(folder, 'agent'), 'agent one');
  progress = [];
  inputs = {
    cacheDir: join(folder, 'cache'),
    agentPath: join(folder, 'agent'),
    hostFacts: DEBIAN,
    aptEnv: repository.env,
    onProgress: (step) => progress.push(step),
  };
});

function steps(): string[] {
  return [...new Set(progress.map(({ step }) => step))];
}

/** Whatever is done from now on is done from the cache. */
async function takeRepositoryAway(): Promise<void> {
  await rm(join(folder, 'repository'), { recursive: true });
  await writeFile(join(folder, 'repository'), REPOSITORY_GONE);
  progress.length = 0;
}

async function rejection<C extends ErrorCode>(
  promise: Promise<unknown>,
  code: C,
): Promise<VmRuntimeError<C>> {
  const error: unknown = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (!isVmRuntimeError(error, code)) throw new Error(`expected ${code}`, { cause: error });
  return error;
}

describe('the first call', () => {
  test('makes the image of the newest kernel, by number and not by letter', async () => {
    const image = await makeDefaultImage(inputs);
    expect(image.kernelRelease).toBe('6.1.0-10-cloud-amd64');
    expect(await readFile(image.kernelPath, 'utf8')).toBe('kernel ten');
    expect(image.bzImagePath).toBe(image.kernelPath);
    const initrd = await readFile(image.initrdPath, 'latin1');
    for (const text of ['agent one', 'TRAILER!!!', '/lib/modules/6.1.0-10-cloud-amd64/virtio_console.ko\n']) {
      expect(initrd).toContain(text);
    }
    expect(image.bootArgs).toMatch(/^console=ttyS0 /);
    expect(Object.values(image.digests).join(' ')).toMatch(/^[0-9a-f]{64} [0-9a-f]{64} [0-9a-f]{64}$/);
  });

  test('reports each step up to its total', async () => {
    await makeDefaultImage(inputs);
    expect(steps()).toEqual(['find packages', 'download', 'unpack', 'kernel', 'modules', 'disk', 'initrd']);
    for (const step of steps()) {
      const last = progress.findLast((item) => item.step === step);
      expect(last?.done).toBe(last?.total);
    }
    const download = progress.find(({ step }) => step === 'download');
    expect(download).toMatchObject({ done: 0, unit: 'bytes' });
    expect(download?.total).toBeGreaterThan(1000);
  });

  test('leaves nothing but the entries of the store', async () => {
    await makeDefaultImage(inputs);
    const [version = ''] = await readdir(inputs.cacheDir);
    expect(await readdir(join(inputs.cacheDir, version, 'entries'))).toHaveLength(2);
  });

  test('uses the package lists of the host where they know the packages', async () => {
    await repository.updateHostLists();
    await repository.addKernel('6.1.0-11-cloud-amd64', '6.1.55-1', 'kernel eleven');
    const image = await makeDefaultImage(inputs);
    expect(image.kernelRelease).toBe('6.1.0-10-cloud-amd64');
  });

  test('fetches lists of its own where those of the host name a package that is gone', async () => {
    await repository.updateHostLists();
    await rm(join(folder, 'repository', 'linux-image-6.1.0-10-cloud-amd64_6.1.38-1_amd64.deb'));
    await repository.addKernel('6.1.0-11-cloud-amd64', '6.1.55-1', 'kernel eleven');
    const image = await makeDefaultImage(inputs);
    expect(image.kernelRelease).toBe('6.1.0-11-cloud-amd64');
  });
});

describe('a later call', () => {
  test('answers the same from the cache, without a step', async () => {
    const first = await makeDefaultImage(inputs);
    await takeRepositoryAway();
    expect(await makeDefaultImage(inputs)).toEqual(first);
    expect(progress).toEqual([]);
  });

  test('makes another initrd for another agent, of the same packages', async () => {
    const first = await makeDefaultImage(inputs);
    await takeRepositoryAway();
    await writeFile(inputs.agentPath, 'agent two');
    const second = await makeDefaultImage(inputs);
    expect(steps()).toEqual(['initrd']);
    expect(await readFile(second.initrdPath, 'latin1')).toContain('agent two');
    expect(second.initrdPath).not.toBe(first.initrdPath);
    expect({ ...second, initrdPath: '', digests: '' }).toEqual({ ...first, initrdPath: '', digests: '' });
    await writeFile(inputs.agentPath, 'agent one');
    expect(await makeDefaultImage(inputs)).toEqual(first);
  });

  test('keeps its packages although there are newer ones, until it is told to refresh', async () => {
    await repository.updateHostLists();
    const first = await makeDefaultImage(inputs);
    await repository.addKernel('6.1.0-11-cloud-amd64', '6.1.55-1', 'kernel eleven');
    expect(await makeDefaultImage(inputs)).toEqual(first);
    const refreshed = await makeDefaultImage({ ...inputs, refresh: true });
    expect(refreshed.kernelRelease).toBe('6.1.0-11-cloud-amd64');
    expect(await makeDefaultImage(inputs)).toEqual(refreshed);
    expect(await readFile(first.kernelPath, 'utf8')).toBe('kernel ten');
  });

  test('a refresh that finds nothing newer downloads nothing', async () => {
    const first = await makeDefaultImage(inputs);
    progress.length = 0;
    expect(await makeDefaultImage({ ...inputs, refresh: true })).toEqual(first);
    expect(steps()).toEqual(['find packages']);
  });

  test('repairs a damaged kernel at the same path', async () => {
    const first = await makeDefaultImage(inputs);
    await writeFile(first.kernelPath, 'kernel tin');
    expect(await makeDefaultImage(inputs)).toEqual(first);
    expect(await readFile(first.kernelPath, 'utf8')).toBe('kernel ten');
  });

  test('repairs a damaged initrd without the packages', async () => {
    const first = await makeDefaultImage(inputs);
    await takeRepositoryAway();
    await writeFile(first.initrdPath, '');
    expect(await makeDefaultImage(inputs)).toEqual(first);
    expect(steps()).toEqual(['initrd']);
  });
});

test('three at once on an empty cache get the same image', async () => {
  const images = await Promise.all([1, 2, 3].map(() => makeDefaultImage(inputs)));
  expect(images[1]).toEqual(images[0]);
  expect(images[2]).toEqual(images[0]);
  expect(await readFile(images[0]?.kernelPath ?? '', 'utf8')).toBe('kernel ten');
});

describe('an abort', () => {
  test('before the call rejects with its reason and makes nothing', async () => {
    const signal = AbortSignal.abort(new Error('never mind'));
    await expect(makeDefaultImage({ ...inputs, signal })).rejects.toThrow('never mind');
    expect(await readdir(folder)).not.toContain('cache');
  });

  test.each(['find packages', 'download', 'unpack', 'kernel', 'modules', 'disk', 'initrd'])(
    'in the step "%s" rejects with its reason, and the next call succeeds',
    async (step) => {
      const abort = new AbortController();
      const onProgress = (at: ImageProgress): void => {
        if (at.step === step && at.done === 0) abort.abort(new Error(`stop at ${step}`));
      };
      const aborted = makeDefaultImage({ ...inputs, onProgress, signal: abort.signal });
      await expect(aborted).rejects.toThrow(`stop at ${step}`);
      const [version = ''] = await readdir(inputs.cacheDir);
      const left = await readdir(join(inputs.cacheDir, version, 'entries'));
      expect(left).toHaveLength(step === 'initrd' ? 1 : 0);
      expect((await makeDefaultImage(inputs)).kernelRelease).toBe('6.1.0-10-cloud-amd64');
    },
  );
});

test('a progress callback that throws ends the work with its error and leaves nothing', async () => {
  const onProgress = ({ step, done, total }: ImageProgress): void => {
    if (step === 'download' && done === total) throw new Error('bad callback');
  };
  await expect(makeDefaultImage({ ...inputs, onProgress })).rejects.toThrow('bad callback');
  const [version = ''] = await readdir(inputs.cacheDir);
  expect(await readdir(join(inputs.cacheDir, version, 'entries'))).toEqual([]);
});

describe('what cannot work is a typed error', () => {
  test.each([
    ['another distribution', { osRelease: 'ID=fedora\n', arch: 'x64' }, 'not-debian'],
    ['a derivative of Debian', { osRelease: 'ID=ubuntu\nID_LIKE=debian\n', arch: 'x64' }, 'not-debian'],
    ['a system without os-release', { osRelease: undefined, arch: 'x64' }, 'not-debian'],
    ['another architecture', { ...DEBIAN, arch: 'arm64' }, 'not-x86-64'],
  ])('%s: the remedy is to give a kernel', async (_name, hostFacts, finding) => {
    const error = await rejection(makeDefaultImage({ ...inputs, hostFacts }), 'MICROVM_HOST_UNSUPPORTED');
    expect(error.details.findings).toEqual([finding]);
    expect(error.remedy).toMatch(/`kernelPath`.*`initrdPath`/);
  });

  test('another distribution with a full cache works', async () => {
    const first = await makeDefaultImage(inputs);
    const elsewhere = { osRelease: 'ID=fedora\n', arch: 'x64' };
    expect(await makeDefaultImage({ ...inputs, hostFacts: elsewhere })).toEqual(first);
  });

  test('a repository without such a kernel', async () => {
    const empty = join(folder, 'empty');
    await mkdir(empty);
    const { env } = await DebianRepository.create(empty);
    const error = await rejection(makeDefaultImage({ ...inputs, aptEnv: env }), 'MICROVM_HOST_UNSUPPORTED');
    expect(error.details.findings).toEqual(['kernel-package-missing']);
    expect(error.remedy).toContain('`kernelPath`');
  });

  test('a repository that is out of reach', async () => {
    const aptEnv = repository.env;
    await writeFile(join(folder, 'repository', 'sources.list'), 'deb [trusted=yes] file:/nonexistent ./\n');
    const error = await rejection(makeDefaultImage({ ...inputs, aptEnv }), 'MICROVM_HOST_FAILURE');
    expect(error.message).toContain('/nonexistent');
    expect(error.remedy).toContain('apt-get update');
  });

  // A file system that is full needs a mount, which needs root.
  test.skipIf(process.getuid?.() !== 0)('a cache folder without space', async () => {
    await mkdir(inputs.cacheDir);
    await runProgram('mount', ['-t', 'tmpfs', '-o', 'size=300k', 'microvm-test', inputs.cacheDir]);
    onTestFinished(async () => {
      await runProgram('umount', [inputs.cacheDir]);
    });
    const error = await rejection(makeDefaultImage(inputs), 'MICROVM_NO_SPACE');
    expect(error.details.path).toContain(inputs.cacheDir);
    const [version = ''] = await readdir(inputs.cacheDir);
    expect(await readdir(join(inputs.cacheDir, version, 'entries'))).toEqual([]);
  });

  test('a cache folder that is a file', async () => {
    await writeFile(inputs.cacheDir, '');
    const error = await rejection(makeDefaultImage(inputs), 'MICROVM_HOST_FAILURE');
    expect(error.details.errno).toBe('ENOTDIR');
  });

  test.each([
    ['a relative cache folder', { cacheDir: 'here' }, 'options.cacheDir'],
    ['an unknown key', { cacheDirectory: '/tmp' }, 'options.cacheDirectory'],
    ['a signal that is none', { signal: 'SIGINT' }, 'options.signal'],
  ])('%s', async (_name, options, path) => {
    const error = await rejection(ensureDefaultImage(options as object), 'MICROVM_INVALID_ARGUMENT');
    expect(error.details.path).toBe(path);
  });
});
