import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openImages } from '@microvm/image';
import { makeDebianLayout, type DebianLayout } from '../debian-layout.js';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { interleave, timeMs, type Sampler } from '../interleave.js';
import { TemporaryFolder } from '../temporary-folder.js';

const run = promisify(execFile);
const LARGE = ['python3'];
/**
 * What the store's own squashfs is made with, so that the compressor's time is the same on both sides. Its
 * table for exports is made by mksquashfs without being told, by sqfstar with `-exports`.
 */
const SQUASHFS = ['-comp', 'lz4', '-noI', '-b', '128K', '-no-progress', '-quiet'];

/** Imports the layout into a store of its own, which is removed; only the import is timed. */
function importSampler({ path }: DebianLayout, store: string): Sampler {
  return async () => {
    const tookMs = await timeMs(() => openImages({ imageStore: store }).import(path, 'debian'));
    await rm(store, { recursive: true });
    return tookMs;
  };
}

/** As root, because nobody else keeps owners, devices and capabilities. */
function unpackSampler({ image }: DebianLayout, folder: string): Sampler {
  const bundle = join(folder, 'bundle');
  const squashfs = join(folder, 'bundle.squashfs');
  return async () => {
    const tookMs = await timeMs(async () => {
      await run('umoci', ['unpack', '--image', image, bundle]);
      await run('mksquashfs', [join(bundle, 'rootfs'), squashfs, ...SQUASHFS, '-noappend']);
    });
    await rm(bundle, { recursive: true });
    await rm(squashfs);
    return tookMs;
  };
}

/** The least that can be done: one layer needs no merging, and nothing is checked. */
function pipeSampler({ layer }: DebianLayout, folder: string): Sampler {
  const [tar, squashfs] = [join(folder, 'flat.tar'), join(folder, 'flat.squashfs')];
  const script = 'gunzip -c "$1" > "$2" && shift && in="$1" && shift && sqfstar "$@" < "$in"';
  return async () => {
    const tookMs = await timeMs(() =>
      run('sh', ['-c', script, 'sh', layer, tar, '-exports', ...SQUASHFS, squashfs]),
    );
    await rm(tar);
    await rm(squashfs);
    return tookMs;
  };
}

/** MiB by which an import raises the peak of this process's memory. */
async function memoryMib({ path }: DebianLayout, store: string): Promise<number> {
  const peak = async (): Promise<number> => {
    const status = await readFile('/proc/self/status', 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
  };
  // The kernel begins a new peak at what is used now.
  await writeFile('/proc/self/clear_refs', '5');
  const before = await peak();
  await openImages({ imageStore: store }).import(path, 'debian');
  const grown = (await peak()) - before;
  await rm(store, { recursive: true });
  return grown;
}

async function imageRows({ quick, log }: BenchRun): Promise<readonly Measurement[]> {
  if (process.getuid?.() !== 0) {
    log('images: not run: mmdebstrap and umoci need root to keep owners and devices');
    return [];
  }
  await using folder = await TemporaryFolder.make();
  log('images: making a Debian');
  const layout = await makeDebianLayout(folder.path, quick ? [] : LARGE);
  const store = join(folder.path, 'store');
  const pairs = quick ? 1 : 7;
  const warmups = quick ? 0 : 1;
  const parameters = { packedMib: Math.round(layout.packedMib), pairs };
  log('images: importing it');
  const ours = importSampler(layout, store);
  const byUmoci = await interleave(ours, unpackSampler(layout, folder.path), { pairs, warmups });
  const byPipe = await interleave(ours, pipeSampler(layout, folder.path), { pairs, warmups });
  const grown: number[] = [];
  for (let round = 0; round < pairs; round++) grown.push(await memoryMib(layout, store));
  const name = 'import a Debian image';
  return [
    {
      ...{ name, unit: 'ms', parameters, aim: { kind: 'ratio', atMost: 0.6 } },
      ours: { label: 'import', samples: byUmoci.ours },
      theirs: { label: 'umoci unpack as root, mksquashfs', samples: byUmoci.theirs },
    },
    {
      ...{ name, unit: 'ms', parameters, aim: { kind: 'ratio', atMost: 2 } },
      ours: { label: 'import', samples: byPipe.ours },
      theirs: { label: 'gunzip, sqfstar', samples: byPipe.theirs },
    },
    {
      name: 'memory that an import adds at most',
      ...{ unit: 'MiB', parameters, aim: { kind: 'value', atMost: 128 } },
      ours: { label: 'import', samples: grown },
    },
  ];
}

export const images: Dimension = {
  name: 'images',
  description: 'Imports of an image, against umoci as root and the bare programs.',
  needsQemu: false,
  run: imageRows,
};
