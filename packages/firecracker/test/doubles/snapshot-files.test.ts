import { copyFile, mkdtemp, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB, type VmRuntime, type VmSpec, type VmView } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { imageDefaults } from '../factory.js';
import { openDoubles } from './doubles.js';

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fc-files-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Kernel, initrd, a disk and a shared drive, all in one folder of the caller's. */
async function makeImages(): Promise<{ readonly folder: string; readonly spec: VmSpec }> {
  const folder = await makeFolder();
  const { kernelPath = '', initrdPath = '' } = await imageDefaults();
  const at = (name: string): string => join(folder, name);
  await copyFile(kernelPath, at('kernel'));
  await copyFile(initrdPath, at('initrd'));
  await writeFile(at('disk'), Buffer.alloc(MIB, 'd'));
  await writeFile(at('tools'), Buffer.alloc(MIB, 't'));
  const spec: VmSpec = {
    kernelPath: at('kernel'),
    initrdPath: at('initrd'),
    rootDrive: { path: at('disk') },
    drives: [{ driveId: 'tools', path: at('tools'), mode: 'shared' }],
  };
  return { folder, spec };
}

async function running(runtime: VmRuntime, vmId: string, spec: VmSpec): Promise<VmView> {
  await runtime.createVmWithSpec(vmId, spec);
  return runtime.startVm(vmId);
}

describe('a VM whose disk has another size than it was made with', () => {
  it.each([
    ['larger than any file system here reads quickly', 2 ** 43],
    ['a sector smaller', MIB - 512],
  ])(
    'is not captured when that is %s, runs on, and is captured once it is right again',
    async (_what, size) => {
      const { spec } = await makeImages();
      await using runtime = await openDoubles();
      const { vmm } = await running(runtime, 'a', spec);
      // What the VMM's user may do from inside its jail: the disk is its own.
      const disk = `/proc/${vmm?.pid}/root/disks/root`;
      await truncate(disk, size);
      await expect(runtime.snapshotVm('a', 's')).rejects.toMatchObject({
        code: 'MICROVM_UNEXPECTED_SIZE',
        details: { vmId: 'a', file: 'disks/root.raw', sizeBytes: size, expectedSizeBytes: MIB },
      });
      expect(await runtime.getVm('a')).toMatchObject({ state: 'running', snapshots: [] });
      await truncate(disk, MIB);
      expect(await runtime.snapshotVm('a', 's')).toMatchObject({ kind: 'memory' });
      await runtime.destroyVm('a');
    },
  );
});

describe('a VM whose kernel, initrd, disk image and shared drive are gone', () => {
  it.each([true, false])('is captured, restored and booted again; jail: %s', async (jail) => {
    const { folder, spec } = await makeImages();
    await using runtime = await openDoubles({ defaults: { jail } });
    await running(runtime, 'a', spec);
    await rm(folder, { recursive: true });
    const { snapshotUid: warm } = await runtime.snapshotVm('a', 'warm');
    await runtime.stopVm('a');
    const { snapshotUid: cold } = await runtime.snapshotVm('a', 'cold');
    expect(await runtime.startVm('a')).toMatchObject({ state: 'running' });
    await runtime.destroyVm('a');
    await runtime.forgetVm('a');
    expect(await runtime.createVmWithSpec('b', { restoreFrom: { snapshotUid: warm } })).toMatchObject({
      state: 'running',
    });
    await runtime.stopVm('b');
    expect(await runtime.startVm('b')).toMatchObject({ state: 'running' });
    await runtime.createVmWithSpec('c', { restoreFrom: { snapshotUid: cold } });
    expect(await runtime.startVm('c')).toMatchObject({ state: 'running' });
    for (const vmId of ['b', 'c']) await runtime.destroyVm(vmId);
  });

  it('cannot be restored with a kernel of the caller’s that is another, or is not there', async () => {
    const { folder, spec } = await makeImages();
    await using runtime = await openDoubles();
    await running(runtime, 'a', spec);
    const { snapshotUid } = await runtime.snapshotVm('a', 'warm');
    const restore = (kernelPath: string) =>
      runtime.createVmWithSpec('b', { restoreFrom: { snapshotUid }, kernelPath });
    for (const name of ['initrd', 'nothing']) {
      await expect(restore(join(folder, name))).rejects.toMatchObject({
        code: 'MICROVM_INVALID_ARGUMENT',
        details: { path: 'spec.kernelPath' },
      });
    }
    expect(await restore(join(folder, 'kernel'))).toMatchObject({ state: 'running' });
    for (const vmId of ['a', 'b']) await runtime.destroyVm(vmId);
  });
});

describe('the files that VMs only read', () => {
  it('are in the state directory once, root’s and read-only, while a VM or a snapshot has them', async () => {
    const { folder, spec } = await makeImages();
    const stateDir = join(await makeFolder(), 'state');
    await using runtime = await openDoubles({ stateDir });
    await Promise.all(['a', 'b'].map((vmId) => runtime.createVmWithSpec(vmId, spec)));
    const images = join(stateDir, 'images');
    const digests = async (): Promise<string[]> =>
      (await readdir(images)).filter((name) => /^[0-9a-f]{64}$/.test(name));
    expect(await digests()).toHaveLength(3);
    for (const name of await digests()) {
      expect(await stat(join(images, name))).toMatchObject({ uid: 0, mode: 0o100444 });
    }
    await copyFile(join(folder, 'tools'), join(folder, 'the same'));
    const path = join(folder, 'the same');
    await runtime.createVmWithSpec('c', { ...spec, drives: [{ driveId: 'tools', path, mode: 'shared' }] });
    expect(await digests()).toHaveLength(3);
    for (const vmId of ['a', 'b', 'c']) await runtime.destroyVm(vmId);
  });

  it('that a power cut has left as zeros are noticed on the next boot of the host, and brought in again', async () => {
    const { spec } = await makeImages();
    const stateDir = join(await makeFolder(), 'state');
    const first = await openDoubles({ stateDir });
    const { spec: known } = await first.createVmWithSpec('a', spec);
    await first.close();
    const images = join(stateDir, 'images');
    await rm(join(images, 'verified.json'));
    for (const name of await readdir(images)) {
      const path = join(images, name);
      const { size } = await stat(path);
      await truncate(path, 0);
      await truncate(path, size);
    }
    await using runtime = await openDoubles({ stateDir });
    await expect(runtime.startVm('a')).rejects.toMatchObject({ code: 'MICROVM_STATE_CORRUPT' });
    expect(known.kernelPath).toBe(spec.kernelPath);
    expect(await running(runtime, 'b', spec)).toMatchObject({ state: 'running' });
    expect(await runtime.startVm('a')).toMatchObject({ state: 'running' });
    for (const vmId of ['a', 'b']) await runtime.destroyVm(vmId);
  });
});
