import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, fstatSync, openSync, readdirSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import {
  closeDescriptor,
  flattenLayers,
  openPipe,
  type FlattenedImage,
  type FlattenOptions,
  type FlattenProgress,
  type ImageRoot,
} from '../dist/index.js';
import { openDescriptors, rejection, runNode, temporaryFolder, threadName, threads } from './fixture.js';
import { flatten, layerFiles } from './layers-fixture.js';
import { file, folder, tar } from './tar-fixture.js';

const MIB = 1 << 20;
const large = (): Buffer => tar(file('f', Buffer.alloc(4 * MIB, 'data')));

/** Begins a flattening; `root` resolves when its layers have been read. */
function begin(options: FlattenOptions): { root: Promise<ImageRoot>; done: Promise<FlattenedImage> } {
  let done: Promise<FlattenedImage> | undefined;
  const root = new Promise<ImageRoot>((onRoot, reject) => {
    done = flattenLayers({ ...options, onRoot });
    done.catch(reject);
  });
  if (done === undefined) throw new Error('it has not begun');
  return { root, done };
}

test('an abort ends a write that waits for a reader, with the reason of the signal', async () => {
  const workDir = temporaryFolder();
  const before = openDescriptors();
  const { read, write } = openPipe();
  const controller = new AbortController();
  const reason = new Error('enough');
  const { root, done } = begin({
    layers: layerFiles([large()]),
    workDir,
    output: write,
    signal: controller.signal,
  });
  await root;
  // The pipe is full: nobody reads.
  const first = Buffer.alloc(1);
  readSync(read, first);
  controller.abort(reason);
  await expect(done).rejects.toBe(reason);
  closeDescriptor(read);
  await expect.poll(openDescriptors).toBeLessThanOrEqual(before);
  expect(readdirSync(workDir)).toEqual([]);
});

test('a signal that has aborted already closes the output too', async () => {
  const { read, write } = openPipe();
  const reason = new Error('no');
  const signal = AbortSignal.abort(reason);
  await expect(flattenLayers({ layers: [], workDir: '/tmp', output: write, signal })).rejects.toBe(reason);
  expect(() => fstatSync(write)).toThrow('EBADF');
  closeDescriptor(read);
});

test('a wrong argument leaves the output open', () => {
  const { read, write } = openPipe();
  for (const wrong of [
    { limits: { entries: 0 } },
    { limits: { depth: 9999 } },
    { onRoot: 5 },
    { layers: [{ path: 'x', compression: 'lz4' }] },
  ]) {
    // @ts-expect-error wrong on purpose
    expect(() => flattenLayers({ layers: [], workDir: '/tmp', output: write, ...wrong })).toThrow(TypeError);
  }
  closeDescriptor(write);
  closeDescriptor(read);
});

test('a reader that dies is EPIPE, and no signal reaches the process', async () => {
  const folderOfLayers = layerFiles([large()]);
  const run = runNode(`
    import { spawn } from 'node:child_process';
    process.on('SIGPIPE', () => { console.log('signalled'); });
    const { read, write } = native.openPipe();
    const child = spawn('head', ['-c', '1'], { stdio: [read, 'ignore', 'ignore'] });
    native.closeDescriptor(read);
    const layers = ${JSON.stringify(folderOfLayers)};
    try {
      await native.flattenLayers({ layers, workDir: ${JSON.stringify(temporaryFolder())}, output: write });
    } catch (error) {
      console.log(error.code, error.syscall);
    }
  `);
  expect(await run.finished).toEqual({ code: 0, signal: null, output: 'EPIPE write\n' });
});

test('a full disk under the folder for the work is an error of the system', async () => {
  const workDir = '/dev/full-of-nothing/x';
  const output = openSync('/dev/null', 'w');
  const failed = flattenLayers({ layers: layerFiles([large()]), workDir, output });
  expect(await rejection(failed)).toMatchObject({ code: 'ENOENT', syscall: 'open', path: workDir });
  const full = flattenLayers({
    layers: layerFiles([large()]),
    workDir: temporaryFolder(),
    output: openSync('/dev/full', 'w'),
  });
  expect(await rejection(full)).toMatchObject({ code: 'ENOSPC', syscall: 'write' });
});

test('progress is told in bytes of each layer, and ends with all of them', async () => {
  const archives = [gzipSync(large()), gzipSync(tar(file('g', 'x')))];
  const layers = layerFiles(archives).map((layer) => ({ ...layer, compression: 'gzip' as const }));
  const seen: FlattenProgress[] = [];
  await flatten(layers, { onProgress: (progress) => seen.push(progress) });
  for (const [layer, { length }] of archives.entries()) {
    const own = seen.filter((progress) => progress.layer === layer);
    expect(own.at(-1)).toEqual({ layer, packedBytes: length, totalPackedBytes: length });
    expect(own.map(({ packedBytes }) => packedBytes)).toEqual(
      own.map(({ packedBytes }) => packedBytes).sort((one, other) => one - other),
    );
  }
});

test('the root is told before the first byte', async () => {
  const { read, write } = openPipe();
  const archive = tar(folder('./', { mode: 0o1750, uid: 5, gid: 6, mtime: 7 }), file('f', Buffer.alloc(MIB)));
  const { root, done } = begin({ layers: layerFiles([archive]), workDir: temporaryFolder(), output: write });
  const expected = { mode: 0o1750, uid: 5, gid: 6, mtimeSeconds: 7 };
  expect(await root).toEqual(expected);
  // Only now somebody reads, so that the call cannot have ended before.
  createReadStream('', { fd: read }).resume();
  expect((await done).root).toEqual(expected);
});

test('twenty at once give the same stream, on threads that end', async () => {
  const layers = layerFiles([large(), tar(file('g', 'x'))]);
  const streams = await Promise.all(Array.from({ length: 20 }, () => flatten(layers)));
  const [first] = streams;
  for (const { stream } of streams) expect(stream.equals(first?.stream ?? Buffer.alloc(0))).toBe(true);
  await expect.poll(() => threads().filter((task) => threadName(task) === 'mvm-flatten')).toEqual([]);
});

test('memory does not grow with the size of files', async () => {
  const workDir = temporaryFolder();
  const source = temporaryFolder();
  const header = tar(file('f', '', { size: 300 * MIB })).subarray(0, 512);
  writeFileSync(
    join(source, 'tar'),
    Buffer.concat([header, Buffer.alloc(300 * MIB, 'x'), Buffer.alloc(1024)]),
  );
  const measured = runNode(`
    import { openSync, readFileSync } from 'node:fs';
    const resident = () => Number(/VmRSS:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
    const before = resident();
    let most = 0;
    const timer = setInterval(() => { most = Math.max(most, resident()); }, 1);
    await native.flattenLayers({
      layers: [{ path: ${JSON.stringify(join(source, 'tar'))}, compression: 'none' }],
      workDir: ${JSON.stringify(workDir)},
      output: openSync('/dev/null', 'w'),
    });
    clearInterval(timer);
    console.log(Math.round((Math.max(most, resident()) - before) / 1024));
  `);
  const { code, output } = await measured.finished;
  expect(code).toBe(0);
  expect(Number(output)).toBeLessThan(32);
});

test('a folder is read as it is: names that are whiteouts in an archive are names here', async () => {
  const rootfs = temporaryFolder();
  const script =
    'mkdir a; echo x > a/.wh.b; ln a/.wh.b a/c; ln -s a/c l; mkfifo p; chmod 4755 a/c; truncate -s 1000001 s; echo d >> s';
  await once(spawn('sh', ['-c', script], { cwd: rootfs, stdio: 'inherit' }), 'close');
  const { byPath, result } = await flatten([{ path: rootfs, compression: 'folder' }]);
  expect([...byPath.keys()]).toEqual(['a', 'a/.wh.b', 'a/c', 'l', 'p', 's']);
  expect(byPath.get('a/.wh.b')).toMatchObject({ type: '0', mode: 0o4755, data: Buffer.from('x\n') });
  expect(byPath.get('a/c')).toMatchObject({ type: '1', link: 'a/.wh.b' });
  expect(byPath.get('l')).toMatchObject({ type: '2', link: 'a/c' });
  expect(byPath.get('p')).toMatchObject({ type: '6' });
  // The hole is a hole again: only its last blocks are there.
  expect(byPath.get('s')?.data.length).toBeLessThan(64 << 10);
  expect(byPath.get('s')?.pax.get('GNU.sparse.realsize')?.toString()).toBe('1000003');
  expect(result.root).toMatchObject({ mode: 0o700, uid: process.getuid?.() });
});
