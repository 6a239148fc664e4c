import { randomBytes } from 'node:crypto';
import { openSync, readdirSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { flattenLayers } from '../dist/index.js';
import { rejection, runNode, temporaryFolder } from './fixture.js';
import { flatten, layerFiles } from './layers-fixture.js';
import { mountLoop, reasonForNoMount } from './loop-mount.js';
import { file, tar } from './tar-fixture.js';

const MIB = 1 << 20;
const reason = reasonForNoMount();
const needsMount = reason === undefined ? '' : ` (skipped: ${reason})`;

test('a process that is killed in the middle leaves nothing in the folder for the work', async () => {
  const workDir = temporaryFolder();
  const layers = layerFiles([tar(file('f', randomBytes(4 * MIB)))]);
  const run = runNode(`
    const { read, write } = native.openPipe();
    await native.flattenLayers({
      layers: ${JSON.stringify(layers)},
      workDir: ${JSON.stringify(workDir)},
      output: write,
      onRoot: () => console.log('staged', read),
    });
  `);
  await run.sees('staged');
  run.child.kill('SIGKILL');
  expect(await run.finished).toMatchObject({ signal: 'SIGKILL' });
  expect(readdirSync(workDir)).toEqual([]);
});

describe.skipIf(reason !== undefined)(`on a file system of its own${needsMount}`, () => {
  test('a full disk is an error of the system, and its room is free again', async () => {
    const disk = mountLoop('ext4', 16);
    onTestFinished(() => disk.unmount());
    const before = statfsSync(disk.path).bfree;
    const failed = flattenLayers({
      layers: layerFiles([tar(file('f', randomBytes(32 * MIB)))]),
      workDir: disk.path,
      output: openSync('/dev/null', 'w'),
    });
    expect(await rejection(failed)).toMatchObject({ code: 'ENOSPC', syscall: 'write', path: disk.path });
    await expect.poll(() => statfsSync(disk.path).bfree).toBe(before);
    expect(readdirSync(disk.path)).toEqual(['lost+found']);
  });

  test('what is mounted below a folder is an empty folder of the image', async () => {
    const disk = mountLoop('ext4', 16);
    onTestFinished(() => disk.unmount());
    const { byPath } = await flatten([{ path: dirname(disk.path), compression: 'folder' }]);
    expect([...byPath.keys()]).toEqual(['image', 'mounted']);
    expect(byPath.get('mounted')?.type).toBe('5');
  });
});
