import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { moduleDependencies, resolveModules } from '../../src/default/kernel-modules.js';
import { writeKernelTree } from './kernel-tree.js';
import { makeTempDir } from '../temp-dir.js';

async function namesInOrder(root: string, wanted: readonly string[]): Promise<string[]> {
  return (await resolveModules(root, wanted)).map(({ name }) => name);
}

test('each module comes after everything it depends on, and only once', async () => {
  const root = await makeTempDir();
  await writeKernelTree(root, {
    'virtio/virtio_ring.ko': '',
    'virtio/virtio.ko': 'virtio_ring',
    'net/virtio_net.ko': 'virtio,virtio_ring,net_failover',
    'net/net_failover.ko': 'failover',
    'core/failover.ko': '',
    'other/unwanted.ko': '',
  });
  expect(await namesInOrder(root, ['virtio_net', 'virtio'])).toEqual([
    'virtio_ring',
    'virtio',
    'failover',
    'net_failover',
    'virtio_net',
  ]);
});

test('the order of the wanted modules is kept where dependencies leave it open', async () => {
  const root = await makeTempDir();
  await writeKernelTree(root, { 'c.ko': '', 'a.ko': '', 'b.ko': '' });
  expect(await namesInOrder(root, ['b', 'c', 'a'])).toEqual(['b', 'c', 'a']);
});

test('a dash in a name and an underscore are the same', async () => {
  const root = await makeTempDir();
  await writeKernelTree(root, { 'char/virtio-rng.ko': 'rng-core', 'char/rng_core.ko': '' });
  expect(await resolveModules(root, ['virtio_rng'])).toEqual([
    { name: 'rng_core', path: join(root, 'kernel/char/rng_core.ko') },
    { name: 'virtio_rng', path: join(root, 'kernel/char/virtio-rng.ko') },
  ]);
});

test('what is built into the kernel is left out', async () => {
  const root = await makeTempDir();
  await writeKernelTree(root, { 'virtio-rng.ko': 'rng-core' }, ['char/rng-core.ko', 'fs/ext4.ko']);
  expect(await namesInOrder(root, ['virtio-rng', 'ext4'])).toEqual(['virtio_rng']);
});

test('a module that is nowhere is named in the error', async () => {
  const root = await makeTempDir();
  await writeKernelTree(root, { 'a.ko': 'absent' });
  await expect(namesInOrder(root, ['a'])).rejects.toThrow(
    /kernel module absent is neither in .* nor built in/,
  );
});

test('a circle of dependencies is an error, not an endless loop', async () => {
  const root = await makeTempDir();
  await writeKernelTree(root, { 'a.ko': 'b', 'b.ko': 'a' });
  await expect(namesInOrder(root, ['a'])).rejects.toThrow('kernel module a depends on itself');
});

test('a compressed module is refused instead of being taken for one without dependencies', async () => {
  const root = await makeTempDir();
  await writeKernelTree(root, {});
  await writeFile(join(root, 'kernel', 'a.ko'), Buffer.from('fd377a585a0000', 'hex'));
  await expect(namesInOrder(root, ['a'])).rejects.toThrow('not an uncompressed kernel module');
});

test('a module without the field is refused', () => {
  expect(() => moduleDependencies(Buffer.from('\x7fELF\0license=GPL\0', 'latin1'))).toThrow(
    'no `depends` field',
  );
});
