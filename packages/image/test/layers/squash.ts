import { execFileSync, spawn, type ExecFileSyncOptionsWithStringEncoding } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import {
  closeDescriptor,
  flattenLayers,
  openPipe,
  type FlattenedImage,
  type ImageLayer,
} from '@microvm/native';
import { expect } from 'vitest';
import type { ListedTree } from './list-tree.mjs';

const LISTER = fileURLToPath(new URL('list-tree.mjs', import.meta.url));

/** Makes a squashfs of layers, as an import does. */
export async function squash(
  layers: readonly ImageLayer[],
  workDir: string,
  target: string,
): Promise<FlattenedImage> {
  const { read, write } = openPipe();
  let ended: Promise<unknown> | undefined;
  const result = await flattenLayers({
    layers,
    workDir,
    output: write,
    onRoot: ({ mode }) => {
      const args = ['-quiet', '-no-progress', '-comp', 'lz4', '-root-mode', mode.toString(8), target];
      const child = spawn('sqfstar', args, { stdio: [read, 'ignore', 'pipe'] });
      closeDescriptor(read);
      const said = child.stderr === null ? '' : text(child.stderr);
      ended = Promise.all([once(child, 'close').then(([code]) => code as number), said]);
    },
  });
  expect(await ended).toEqual([0, '']);
  return result;
}

/** Mounts a squashfs in a mount namespace of its own, or unpacks it where that cannot be, and lists it. */
export function listSquashfs(image: string, workDir: string): ListedTree {
  const folder = join(workDir, 'mounted');
  mkdirSync(folder);
  const script = 'mount -t squashfs -o loop,ro "$1" "$2" && exec "$3" "$4" "$2"';
  const args = ['-m', 'sh', '-c', script, 'sh', image, folder, process.execPath, LISTER];
  const options: ExecFileSyncOptionsWithStringEncoding = {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: 'pipe',
  };
  try {
    return JSON.parse(execFileSync('unshare', args, options)) as ListedTree;
  } catch (error) {
    if (!/mount: /.test(String((error as { stderr?: unknown }).stderr))) throw error;
    const unpacked = join(workDir, 'unpacked');
    execFileSync('unsquashfs', ['-quiet', '-no-progress', '-d', unpacked, image], options);
    return JSON.parse(execFileSync(process.execPath, [LISTER, unpacked], options)) as ListedTree;
  }
}
