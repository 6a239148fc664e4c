import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { putDurable } from '@microvm/native';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { interleave } from '../interleave.js';
import { LoopMount, type FileSystem } from '../loop-mount.js';
import { makeFile } from '../make-file.js';
import { summarize } from '../statistics.js';
import { TemporaryFolder } from '../temporary-folder.js';

const run = promisify(execFile);
const SOURCE = fileURLToPath(new URL('../../floor/put.c', import.meta.url));
const DISK = { sizeMib: 64, dataMib: 4 } as const;
const MOUNT_MIB = 4096;

/**
 * One disk of a VM, put so many times at once; the median time of a copy in milliseconds, from the begin of
 * all.
 */
interface Put {
  readonly disk: string;
  readonly folder: string;
  readonly copies: number;
}

async function putByUs({ disk, folder, copies }: Put): Promise<number> {
  const startedAt = performance.now();
  const tookMs = await Promise.all(
    Array.from({ length: copies }, async (_, index) => {
      await putDurable({ copy: disk }, join(folder, `copy-${index}`), { mode: 0o600 });
      return performance.now() - startedAt;
    }),
  );
  return summarize(tookMs).median;
}

async function putByHand(program: string, { disk, folder, copies }: Put): Promise<number> {
  const { stdout } = await run(program, [disk, folder, String(copies)]);
  return summarize(
    stdout
      .trim()
      .split(' ')
      .map((nanoseconds) => Number(nanoseconds) / 1e6),
  ).median;
}

/** Each sample has an empty folder, which is made and removed unmeasured. */
async function inFolder(put: Put, sample: (put: Put) => Promise<number>): Promise<number> {
  await mkdir(put.folder);
  try {
    return await sample(put);
  } finally {
    await rm(put.folder, { recursive: true });
  }
}

async function rowsOn(
  fileSystem: FileSystem,
  program: string,
  { quick, log }: BenchRun,
): Promise<readonly Measurement[]> {
  await using mount = await LoopMount.make(fileSystem, MOUNT_MIB);
  const disk = join(mount.path, 'disk');
  await makeFile(disk, DISK.sizeMib, DISK.dataMib);
  const rows: Measurement[] = [];
  for (const copies of [1, quick ? 4 : 50]) {
    log(`native-durable: ${String(copies)} at once on ${fileSystem}`);
    const put = { disk, folder: join(mount.path, 'copies'), copies };
    const samples = await interleave(
      () => inFolder(put, putByUs),
      () => inFolder(put, (one) => putByHand(program, one)),
      { pairs: quick ? 2 : 30, warmups: quick ? 1 : 5 },
    );
    rows.push({
      name: `put a disk durably, ${String(copies)} at once, ${fileSystem}`,
      unit: 'ms',
      ours: { label: 'putDurable', samples: samples.ours },
      theirs: { label: 'copy, fsync, rename, fsync in C', samples: samples.theirs },
      aim: { kind: 'ratio', atMost: 1.3 },
      parameters: { ...DISK, copies, pairs: samples.ours.length },
    });
  }
  return rows;
}

async function durableRows(bench: BenchRun): Promise<readonly Measurement[]> {
  await using folder = await TemporaryFolder.make();
  const program = join(folder.path, 'floor-put');
  await run('cc', ['-O2', '-pthread', '-o', program, SOURCE]);
  return [...(await rowsOn('ext4', program, bench)), ...(await rowsOn('xfs', program, bench))];
}

export const nativeDurable: Dimension = {
  name: 'native-durable',
  description: 'What it costs that a disk survives a power cut, against the same writes in C.',
  needsQemu: false,
  run: durableRows,
};
