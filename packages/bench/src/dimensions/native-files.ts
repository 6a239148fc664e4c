import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, constants, chown, copyFile, link, mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as native from '@microvm/native';
import { MIB } from '@microvm/runtime';
import type { Aim, BenchRun, Dimension, Measurement } from '../dimension.js';
import { interleave, timeMs, type Sampler } from '../interleave.js';
import { makeFile } from '../make-file.js';
import { pairedRatio } from '../statistics.js';
import { TemporaryFolder } from '../temporary-folder.js';
import { LoopMount } from '../loop-mount.js';

async function runCp(option: string, from: string, to: string): Promise<void> {
  const [code] = (await once(spawn('cp', [option, from, to], { stdio: 'inherit' }), 'exit')) as [
    number | null,
  ];
  if (code !== 0) throw new Error(`cp ${option} ended with ${String(code)}`);
}

/** Times one copy of a file; the copy is looked at and removed, which is not timed. */
function copySampler(from: string, sizeMib: number, copy: (to: string) => Promise<unknown>): Sampler {
  return async () => {
    const to = `${from}-copy`;
    const tookMs = await timeMs(() => copy(to));
    const { size } = await stat(to);
    if (size !== sizeMib * MIB) throw new Error(`the copy has ${String(size)} bytes`);
    await rm(to);
    return tookMs;
  };
}

interface CopyRow {
  readonly name: string;
  readonly from: string;
  readonly sizeMib: number;
  readonly against: 'fs.promises.copyFile' | `cp --${string}`;
  readonly atMost: number;
  readonly pairs: number;
}

async function copyRow({ name, from, sizeMib, against, atMost, pairs }: CopyRow): Promise<Measurement> {
  let method = '';
  const ours = async (to: string): Promise<void> => void ({ method } = await native.copyFile(from, to));
  const theirs = (to: string): Promise<void> =>
    against === 'fs.promises.copyFile' ? copyFile(from, to) : runCp(against.slice(3), from, to);
  const samples = await interleave(copySampler(from, sizeMib, ours), copySampler(from, sizeMib, theirs), {
    pairs,
    warmups: 1,
  });
  return {
    name,
    unit: 'ms',
    ours: { label: `copyFile (${method})`, samples: samples.ours },
    theirs: { label: against, samples: samples.theirs },
    aim: { kind: 'ratio', atMost },
    parameters: { sizeMib, pairs },
  };
}

/** Of rows that differ in what they are held against, the one with the strongest opponent. */
function hardest(rows: readonly Measurement[]): Measurement[] {
  const ratioOf = ({ ours, theirs }: Measurement): number => pairedRatio(ours.samples, theirs?.samples ?? []);
  return [...rows].sort((a, b) => ratioOf(b) - ratioOf(a)).slice(0, 1);
}

async function rowsWithoutReflink({ quick, log }: BenchRun): Promise<Measurement[]> {
  await using folder = await TemporaryFolder.make();
  const [sparse, dense] = [join(folder.path, 'sparse'), join(folder.path, 'dense')];
  const [sparseMib, denseMib] = quick ? [200, 64] : [2048, 1024];
  log('native-files: making files');
  await makeFile(sparse, sparseMib, Math.round(sparseMib / 10));
  await makeFile(dense, denseMib, denseMib);
  const sparseRow = { name: `copy ${String(sparseMib)} MiB, 10 % data`, from: sparse, sizeMib: sparseMib };
  const denseRow = { name: `copy ${String(denseMib)} MiB, dense`, from: dense, sizeMib: denseMib };
  const few = quick ? 1 : 5;
  log('native-files: copying');
  return [
    await copyRow({ ...sparseRow, against: 'fs.promises.copyFile', atMost: 0.125, pairs: few }),
    await copyRow({ ...sparseRow, against: 'cp --sparse=always', atMost: 1, pairs: quick ? 2 : 25 }),
    ...hardest([
      await copyRow({ ...denseRow, against: 'fs.promises.copyFile', atMost: 1.05, pairs: few }),
      await copyRow({ ...denseRow, against: 'cp --sparse=always', atMost: 1.05, pairs: few }),
    ]),
  ];
}

async function rowsWithReflink(folder: string, { quick, log }: BenchRun): Promise<Measurement[]> {
  const rows: Measurement[] = [];
  const pairs = quick ? 3 : 100;
  for (const sizeMib of quick ? [16, 64] : [64, 4096]) {
    const from = join(folder, `file-${String(sizeMib)}`);
    log(`native-files: making ${String(sizeMib)} MiB on XFS`);
    await makeFile(from, sizeMib, sizeMib);
    const name = `copy ${String(sizeMib)} MiB by reflink`;
    rows.push(await copyRow({ name, from, sizeMib, against: 'cp --reflink=always', atMost: 0.333, pairs }));
  }
  const [small, large] = rows;
  if (small === undefined || large === undefined) return rows;
  const sizes = 'the larger reflink against the smaller';
  return [...rows, { ...large, name: sizes, theirs: small.ours, aim: { kind: 'ratio', atMost: 1.5 } }];
}

const OWNER = { uid: 54_321, gid: 54_321 };

function stage(images: string, root: string): Promise<unknown> {
  return native.stageJail({
    root,
    ...OWNER,
    folders: [{ name: 'disks' }],
    shared: ['kernel', 'vmstate', 'memory'].map((name) => ({ name, from: join(images, name) })),
    private: [{ name: 'disks/root', from: join(images, 'disk') }, { name: 'vmm.log' }, { name: 'metrics' }],
  });
}

async function own(path: string): Promise<void> {
  await chown(path, OWNER.uid, OWNER.gid);
  await chmod(path, 0o600);
}

type Step = () => Promise<void>;

/**
 * The same, but for the promise that it is all or nothing and stays beneath: folders first, then each file.
 */
async function stageByHand(
  images: string,
  root: string,
  together: (steps: Step[]) => Promise<void>,
): Promise<void> {
  const linked =
    (name: string): Step =>
    () =>
      link(join(images, name), join(root, name));
  const empty =
    (name: string): Step =>
    async () => {
      await (await open(join(root, name), 'wx', 0o600)).close();
      await own(join(root, name));
    };
  const disk: Step = async () => {
    await copyFile(join(images, 'disk'), join(root, 'disks/root'), constants.COPYFILE_FICLONE);
    await own(join(root, 'disks/root'));
  };
  await mkdir(join(root, 'disks'), { recursive: true, mode: 0o700 });
  await chmod(join(root, 'disks'), 0o755);
  await together([
    linked('kernel'),
    linked('vmstate'),
    linked('memory'),
    disk,
    empty('vmm.log'),
    empty('metrics'),
  ]);
}

async function oneByOne(steps: Step[]): Promise<void> {
  for (const step of steps) await step();
}

async function atOnce(steps: Step[]): Promise<void> {
  await Promise.all(steps.map((step) => step()));
}

async function jailRows(folder: string, { quick, log }: BenchRun): Promise<Measurement[]> {
  log('native-files: staging jails');
  const images = join(folder, 'images');
  await mkdir(images);
  for (const name of ['kernel', 'vmstate', 'memory', 'disk']) await makeFile(join(images, name), 16, 16);
  for (const name of ['kernel', 'vmstate', 'memory']) await chmod(join(images, name), 0o444);
  const jail = join(folder, 'jail');
  const sampler = (make: (images: string, root: string) => Promise<unknown>): Sampler => {
    return async () => {
      const tookMs = await timeMs(() => make(images, join(jail, 'root')));
      const { uid } = await stat(join(jail, 'root/disks/root'));
      if (uid !== OWNER.uid) throw new Error('the disk is not the VM’s');
      await rm(jail, { recursive: true });
      return tookMs;
    };
  };
  const pairs = quick ? 5 : 200;
  const row = async (
    together: (steps: Step[]) => Promise<void>,
    how: string,
    aim: Aim,
  ): Promise<Measurement> => {
    const theirs = sampler((from, root) => stageByHand(from, root, together));
    const samples = await interleave(sampler(stage), theirs, { pairs, warmups: 10 });
    return {
      name: 'stage a jail of 6 files',
      unit: 'ms',
      ours: { label: 'stageJail', samples: samples.ours },
      theirs: { label: `fs.promises, ${how}`, samples: samples.theirs },
      aim,
      parameters: { links: 3, reflinks: 1, empty: 2, pairs },
    };
  };
  return [
    await row(oneByOne, 'one by one', { kind: 'ratio', atMost: 0.333 }),
    await row(atOnce, 'all files at once', { kind: 'report' }),
  ];
}

async function filesRows(run: BenchRun): Promise<readonly Measurement[]> {
  const rows = await rowsWithoutReflink(run);
  if (process.getuid?.() !== 0) {
    run.log('native-files: no rows with reflinks and jails: mounting and giving files away need root');
    return rows;
  }
  await using xfs = await LoopMount.make('xfs', run.quick ? 512 : 8192);
  return [...rows, ...(await rowsWithReflink(xfs.path, run)), ...(await jailRows(xfs.path, run))];
}

export const nativeFiles: Dimension = {
  name: 'native-files',
  description: 'Copies with and without reflinks, and the staging of a jail, against Node and cp.',
  needsQemu: false,
  run: filesRows,
};
