import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { copyFile, digestFile, putDurable, stageJail } from '../dist/index.js';
import { rejection, temporaryFolder } from './fixture.js';
import { mountLoop, reasonForNoMount, type LoopMount } from './loop-mount.js';

const MIB = 1 << 20;
const reason = reasonForNoMount();
if (reason !== undefined) console.log(`skipped: ${reason}`);

function fill(path: string, sizeMib: number, dataMib: number): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, sizeMib * MIB);
  const step = Math.floor(sizeMib / dataMib);
  for (let i = 0; i < dataMib; ++i) writeSync(fd, randomBytes(MIB), 0, MIB, i * step * MIB);
  closeSync(fd);
}

const allocatedBytes = (path: string): number => statSync(path).blocks * 512;

describe.skipIf(reason !== undefined)('on XFS with reflinks', () => {
  let xfs: LoopMount;
  beforeAll(() => (xfs = mountLoop('xfs', 512)));
  afterAll(() => xfs.unmount());

  test('a copy shares the blocks, and what is written to it later does not change the source', async () => {
    const folder = join(xfs.path, 'copy');
    mkdirSync(folder);
    const [from, to] = [join(folder, 'from'), join(folder, 'to')];
    fill(from, 300, 200);
    const { root } = await digestFile(from);
    const before = statfsSync(xfs.path);
    expect(await copyFile(from, to, { durable: true })).toEqual({
      method: 'reflink',
      sizeBytes: 300 * MIB,
      dataBytes: 0,
    });
    const after = statfsSync(xfs.path);
    expect((before.bfree - after.bfree) * after.bsize).toBeLessThan(8 * MIB);
    expect((await digestFile(to)).root).toBe(root);
    writeFileSync(to, 'changed', { flag: 'r+' });
    expect((await digestFile(from)).root).toBe(root);
    expect(readdirSync(folder).sort()).toEqual(['from', 'to']);
    rmSync(folder, { recursive: true });
  });

  test('a jail gets its files by link and reflink, a folder is cloned by reflink', async () => {
    const kernel = join(xfs.path, 'kernel');
    const template = join(xfs.path, 'template');
    fill(kernel, 4, 4);
    fill(template, 16, 4);
    chmodSync(kernel, 0o444);
    const staged = await stageJail({
      root: join(xfs.path, 'id/root'),
      uid: 54_321,
      gid: 54_321,
      shared: [
        { name: 'kernel', from: kernel },
        { name: 'base', from: template },
      ],
      private: [{ name: 'disk', from: template }],
    });
    expect(staged.files.map(({ method }) => method)).toEqual(['link', 'reflink', 'reflink']);
    expect(statSync(join(xfs.path, 'id/root/disk'))).toMatchObject({ uid: 54_321, gid: 54_321 });
    expect(readFileSync(join(xfs.path, 'id/root/disk')).equals(readFileSync(template))).toBe(true);
  });

  test('to another file system the data is copied and the holes are kept', async () => {
    const to = join(temporaryFolder(), 'to');
    const from = join(xfs.path, 'across');
    fill(from, 120, 40);
    const copied = await copyFile(from, to);
    expect(copied).toMatchObject({ sizeBytes: 120 * MIB, dataBytes: 40 * MIB });
    expect(copied.method).not.toBe('reflink');
    expect((await digestFile(to)).root).toBe((await digestFile(from)).root);
    expect(allocatedBytes(to)).toBeLessThan(44 * MIB);
    rmSync(from);
  });

  test('a private file is neither linked nor moved from another file system', async () => {
    const from = join(temporaryFolder(), 'own');
    writeFileSync(from, 'own');
    const owner = { uid: statSync(from).uid, gid: statSync(from).gid };
    for (const by of ['link', 'move'] as const) {
      const root = join(xfs.path, 'none/root');
      const plan = { root, ...owner, private: [{ name: 'disk', from, by }] };
      expect(await rejection(stageJail(plan))).toMatchObject({ code: 'EXDEV' });
      expect(readdirSync(xfs.path)).not.toContain('none');
    }
    expect(readFileSync(from, 'utf8')).toBe('own');
  });
});

describe.skipIf(reason !== undefined)('on a disk that gets full', () => {
  test.each(['ext4', 'xfs'] as const)('%s: a clear error, and nothing is left', async (kind) => {
    const small = mountLoop(kind, kind === 'xfs' ? 320 : 48);
    try {
      const folder = temporaryFolder();
      mkdirSync(join(folder, 'tree'));
      const from = join(folder, 'tree/big');
      fill(from, 400, 400);
      const before = readdirSync(small.path);
      const [to, root] = [join(small.path, 'to'), join(small.path, 'id/root')];
      for (const options of [{}, { sparse: true }, { durable: true }]) {
        expect(await rejection(copyFile(from, to, options))).toMatchObject({ code: 'ENOSPC', path: to });
      }
      expect(await rejection(putDurable({ copy: from }, to))).toMatchObject({ code: 'ENOSPC' });
      const plan = { root, uid: 1, gid: 1, private: [{ name: 'log' }, { name: 'disk', from }] };
      expect(await rejection(stageJail(plan))).toMatchObject({ code: 'ENOSPC', path: join(root, 'disk') });
      expect(readdirSync(small.path)).toEqual(before);
      writeFileSync(to, 'there is room again');
    } finally {
      small.unmount();
    }
  });
});
