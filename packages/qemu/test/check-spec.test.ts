import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { outputOf } from '@microvm/conformance/linux-guest';
import { resolveVmSpec, type VmSpec } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { checkSpec } from '../src/vm/check-spec.js';
import { imageDefaults } from './factory.js';
import { openForTest } from './open-runtime.js';

/** Files of all that a spec names: QEMU is not asked, so what is in them does not matter. */
async function makeSpec(count: number, spec: VmSpec = {}): Promise<ReturnType<typeof resolveVmSpec>> {
  const folder = await mkdtemp(join(tmpdir(), 'qemu-spec-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'file');
  await writeFile(path, Buffer.alloc(4096));
  const drives = Array.from({ length: count }, (_, index) => ({ driveId: `d${index}`, path }));
  return resolveVmSpec({ kernelPath: path, drives, ...spec }, {});
}

const refusal = (path: string) => ({ code: 'MICROVM_INVALID_ARGUMENT', details: { path } });

describe('a spec for QEMU', () => {
  it('has no more drives than the machine has places for devices', async () => {
    await checkSpec(await makeSpec(22), {});
    await checkSpec(await makeSpec(21, { entropy: {} }), {});
    await expect(checkSpec(await makeSpec(23), {})).rejects.toMatchObject(refusal('spec.drives'));
    await expect(checkSpec(await makeSpec(22, { entropy: {} }), {})).rejects.toMatchObject(
      refusal('spec.drives'),
    );
  });

  it('has no drive whose id would be cut in the guest', async () => {
    const { kernelPath: path = '' } = await makeSpec(0);
    const drives = [
      { driveId: 'x'.repeat(20), path },
      { driveId: 'y'.repeat(21), path },
    ];
    const spec = resolveVmSpec({ kernelPath: path, drives }, {});
    await expect(checkSpec(spec, {})).rejects.toMatchObject(refusal('spec.drives[1].driveId'));
  });

  it('has the memory that its kernel takes to boot', async () => {
    const image = await imageDefaults();
    const specOf = (memSizeMib: number) => resolveVmSpec({ memSizeMib }, image);
    for (const memSizeMib of [16, 64, 72]) {
      await expect(checkSpec(specOf(memSizeMib), {})).rejects.toMatchObject(refusal('spec.memSizeMib'));
    }
    await checkSpec(specOf(80), {});
    // With an image as its root it needs more, which 80 MiB are too little for.
    const { kernelPath: path = '' } = image;
    const withImage = (memSizeMib: number) => ({
      ...specOf(memSizeMib),
      bootArgs: { append: 'microvm.image=/dev/vdb' },
      drives: [{ driveId: 'image', path, mode: 'shared' as const }],
    });
    await expect(checkSpec(withImage(80), {})).rejects.toMatchObject(refusal('spec.memSizeMib'));
    await checkSpec(withImage(88), {});
  });
});

describe('a VM', () => {
  it('boots with the most drives that are taken, and has them all', async () => {
    const { drives } = await makeSpec(21);
    const runtime = await openForTest();
    await runtime.createVmWithSpec('full', { drives });
    await runtime.startVm('full');
    const guest = await runtime.guest('full');
    expect(await outputOf(guest, 'ls /sys/block | grep -c vd; cat /sys/block/vdv/serial')).toBe('22\nd20');
  });

  it('boots with the least memory that is taken', async () => {
    const runtime = await openForTest();
    await runtime.createVmWithSpec('small', { memSizeMib: 80 });
    expect((await runtime.startVm('small')).state).toBe('running');
  });
});
