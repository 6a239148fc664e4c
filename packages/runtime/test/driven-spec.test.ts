import { describe, expect, it } from 'vitest';
import { drivenSpec, withImage } from '../src/engine/driven-spec.js';
import { ToldSettings } from '../src/engine/told-settings.js';
import { parseVmSpec, resolveVmSpec, type Content, type VmSpec } from '../src/index.js';

const DRIVES = { disk: '/cache/empty.ext4', rootfs: '/store/app.squashfs' };
const IMAGE = {
  digest: `sha256:${'a'.repeat(64)}`,
  config: { env: {}, workingDir: '', user: '', entrypoint: [], cmd: [] },
};

function driven(spec: VmSpec, defaults: VmSpec = {}) {
  return withImage(resolveVmSpec(spec, defaults), DRIVES);
}

describe('an image, as drivers see it,', () => {
  it('is a shared drive between an empty root drive and the drives of the caller', () => {
    const { rootDrive, drives } = driven({ image: 'app', drives: [{ driveId: 'data', path: '/d' }] });
    expect(rootDrive).toEqual({ path: DRIVES.disk, sizeMib: 1024 });
    expect(drives).toEqual([
      { driveId: 'image', path: DRIVES.rootfs, mode: 'shared' },
      { driveId: 'data', path: '/d' },
    ]);
  });

  it('is named by a kernel argument behind those of the caller, also where these replace ours', () => {
    const argument = 'microvm.image=/dev/vdb';
    expect(driven({ image: 'app' }).bootArgs).toEqual({ append: argument });
    expect(driven({ image: 'app', bootArgs: { append: 'debug' } }).bootArgs).toEqual({
      append: `debug ${argument}`,
    });
    expect(driven({ image: 'app', bootArgs: { replace: 'console=ttyS0' } }).bootArgs).toEqual({
      replace: `console=ttyS0 ${argument}`,
    });
  });

  it('says by another argument that its own init is process 1', () => {
    const { bootArgs, ...others } = driven({ image: 'app', imageInit: 'image' });
    expect(bootArgs).toEqual({ append: 'microvm.image=/dev/vdb microvm.init=image' });
    expect(others).not.toHaveProperty('imageInit');
    expect(driven({ image: 'app', imageInit: 'agent' }).bootArgs).toEqual(driven({ image: 'app' }).bootArgs);
    expect(() => parseVmSpec({ imageInit: 'image' })).toThrow(/imageInit/);
    const own = resolveVmSpec({ rootDrive: { path: '/own' } }, { image: 'app', imageInit: 'image' });
    expect(own).not.toHaveProperty('imageInit');
  });

  it('is no field of a spec any more: drivers know nothing but drives', () => {
    expect(driven({ image: 'app', rootSizeMib: 512 })).not.toHaveProperty('image');
    const grown = driven({ image: 'app', rootSizeMib: 512 });
    expect(grown.rootDrive).toEqual({ path: DRIVES.disk, sizeMib: 512 });
    expect(grown).not.toHaveProperty('rootSizeMib');
  });

  it('takes the place of a default root drive, and of a default image the other way round', () => {
    const defaults = { rootDrive: { path: '/default' }, kernelPath: '/k', rootSizeMib: 100 };
    expect(resolveVmSpec({ image: 'app' }, defaults)).not.toHaveProperty('rootDrive');
    expect(resolveVmSpec({}, { ...defaults, image: 'app' })).not.toHaveProperty('rootDrive');
    const own = resolveVmSpec({ rootDrive: { path: '/own' } }, { image: 'app', rootSizeMib: 100 });
    expect(own).toMatchObject({ rootDrive: { path: '/own' } });
    expect(own).not.toHaveProperty('image');
    expect(own).not.toHaveProperty('rootSizeMib');
  });

  it('is a file of the store for a VM that is there, and a digest where there is no store', () => {
    const spec = resolveVmSpec({ image: 'app' }, {});
    const pinned = { 'drives.image': { digest: 'f'.repeat(64), sizeBytes: 1 } };
    const content = { path: (digest: string) => `/state/images/${digest}` } as Content;
    const of = { spec, image: IMAGE, pinned };
    expect(drivenSpec(of, content, '/vm').drives?.[0]?.path).toBe(`/state/images/${'f'.repeat(64)}`);
    expect(drivenSpec({ ...of, pinned: {} }, undefined, '/vm').drives?.[0]?.path).toBe(IMAGE.digest);
  });
});

it('rootSizeMib grows the root drive of a spec without an image', () => {
  const spec = resolveVmSpec({ rootSizeMib: 100 }, { rootDrive: { path: '/default' } });
  expect(withImage(spec, undefined).rootDrive).toEqual({ path: '/default', sizeMib: 100 });
  expect(withImage(resolveVmSpec({}, {}), undefined)).not.toHaveProperty('rootDrive');
});

it('an agent is told of its image once in each life, and a restored one not at all', () => {
  const told = new ToldSettings();
  const spec = resolveVmSpec({ image: 'app' }, {});
  expect(told.pending(spec)).toBeUndefined();
  for (const _life of [1, 2]) {
    told.beginLife({ spec, image: IMAGE });
    expect(told.pending(spec)).toEqual({ image: IMAGE.config });
    told.done();
    expect(told.pending(spec)).toBeUndefined();
  }
  told.beginLife({ spec });
  expect(told.pending(spec)).toBeUndefined();
});
