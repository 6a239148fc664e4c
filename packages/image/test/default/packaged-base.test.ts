import { appendFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { type ImageInputs, makeDefaultImage, packDefaultImage } from '../../src/default/default-image.js';
import { makeTempDir } from '../temp-dir.js';
import { DebianRepository } from './debian-repository.js';

const DEBIAN = { osRelease: 'ID=debian\n', arch: 'x64' };
const FEDORA = { osRelease: 'ID=fedora\n', arch: 'x64' };

let folder: string;
let repository: DebianRepository;
/** A host without apt, whose npm has installed the package. */
let inputs: ImageInputs;

beforeEach(async () => {
  folder = await makeTempDir();
  await mkdir(join(folder, 'repository'));
  repository = await DebianRepository.create(join(folder, 'repository'));
  await repository.addBusybox('1:1.35.0-4+b1');
  await repository.addLz4('1.9.4-1');
  await repository.addKernel('6.1.0-9-cloud-amd64', '6.1.27-1', 'kernel nine');
  await writeFile(join(folder, 'agent'), 'agent one');
  inputs = {
    cacheDir: join(folder, 'cache'),
    agentPath: join(folder, 'agent'),
    hostFacts: FEDORA,
    packageFolder: join(folder, 'base'),
  };
});

/** Packs what the repository has now, with a cache of its own. */
async function pack(into = join(folder, 'base')): ReturnType<typeof packDefaultImage> {
  const cacheDir = join(folder, 'cache-of-packing');
  await rm(into, { recursive: true, force: true });
  return packDefaultImage(into, { cacheDir, hostFacts: DEBIAN, aptEnv: repository.env, refresh: true });
}

describe('the package of the default image', () => {
  test('is what the image is made of on a host that is no Debian and has no apt', async () => {
    const { key } = await pack();
    expect(key).toBe('linux-image-6.1.0-9-cloud-amd64_6.1.27-1+busybox-static_1_1.35.0-4+b1');
    const image = await makeDefaultImage(inputs);
    expect(await readFile(image.kernelPath, 'utf8')).toBe('kernel nine');
    expect(await readFile(image.initrdPath, 'latin1')).toContain('agent one');
    const byApt = await makeDefaultImage({
      ...inputs,
      ...{ cacheDir: join(folder, 'other'), packageFolder: undefined },
      ...{ hostFacts: DEBIAN, aptEnv: repository.env },
    });
    expect(image.digests).toEqual(byApt.digests);
  });

  test('has the licences of what is in it, and no disk, which is made where it is wanted', async () => {
    const { files } = await pack();
    expect(Object.keys(files)).toContain('licences/busybox-static');
    expect(Object.keys(files)).not.toContain('data.ext4');
    const licence = join(folder, 'base', 'licences', 'linux-image-6.1.0-9-cloud-amd64');
    expect(await readFile(licence, 'utf8')).toBe('the licence of linux-image-6.1.0-9-cloud-amd64\n');
  });

  test('takes the place of the one before it when another version is installed', async () => {
    await pack();
    await makeDefaultImage(inputs);
    await repository.addKernel('6.1.0-10-cloud-amd64', '6.1.38-1', 'kernel ten');
    await pack();
    expect((await makeDefaultImage(inputs)).kernelRelease).toBe('6.1.0-10-cloud-amd64');
  });

  test('does not take the place of what apt has fetched, and `refresh` asks apt', async () => {
    await pack();
    const onDebian = { ...inputs, hostFacts: DEBIAN, aptEnv: repository.env };
    await makeDefaultImage(onDebian);
    await repository.addKernel('6.1.0-10-cloud-amd64', '6.1.38-1', 'kernel ten');
    expect((await makeDefaultImage(onDebian)).kernelRelease).toBe('6.1.0-9-cloud-amd64');
    expect((await makeDefaultImage({ ...onDebian, refresh: true })).kernelRelease).toBe(
      '6.1.0-10-cloud-amd64',
    );
    expect((await makeDefaultImage(onDebian)).kernelRelease).toBe('6.1.0-10-cloud-amd64');
  });

  test('with a damaged file is refused by its name, and nothing is left', async () => {
    await pack();
    await appendFile(join(folder, 'base', 'busybox'), 'x');
    await expect(makeDefaultImage(inputs)).rejects.toMatchObject({
      code: 'MICROVM_HOST_FAILURE',
      message: expect.stringContaining(`"${join(folder, 'base', 'busybox')}" is damaged`) as string,
    });
    const [version = ''] = await readdir(inputs.cacheDir);
    expect(await readdir(join(inputs.cacheDir, version, 'entries'))).toEqual([]);
  });

  test.each([
    ['that is not there', undefined],
    ['of another format', '{"format":1,"key":"k","facts":{},"files":{}}'],
    ['whose list leads out of it', '{"format":4,"key":"k","facts":{},"files":{"../x":""}}'],
  ])('%s counts as none', async (_what, manifest) => {
    await mkdir(join(folder, 'base'));
    if (manifest !== undefined) await writeFile(join(folder, 'base', 'manifest.json'), manifest);
    await expect(makeDefaultImage(inputs)).rejects.toMatchObject({ code: 'MICROVM_HOST_UNSUPPORTED' });
  });
});
