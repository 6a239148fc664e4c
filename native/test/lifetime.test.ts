import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import type * as Native from '../dist/index.js';
import { runNode, temporaryFolder } from './fixture.js';

const packageFolder = fileURLToPath(new URL('..', import.meta.url));

/** A copy of the package without its binaries, its dependency beside it. */
function copyPackage(folder: string): void {
  for (const part of ['package.json', 'dist'])
    cpSync(join(packageFolder, part), join(folder, part), { recursive: true });
  const dependency = fileURLToPath(new URL('.', import.meta.resolve('node-gyp-build')));
  cpSync(dependency, join(folder, 'node_modules/node-gyp-build'), { recursive: true });
}

test('exports only the two entry points of Node-API', () => {
  const symbols = execFileSync(
    'nm',
    ['-DC', '--defined-only', join(packageFolder, 'build/Release/native.node')],
    { encoding: 'utf8' },
  );
  const names = symbols
    .trim()
    .split('\n')
    .map((line) => line.split(' ').at(-1));
  expect(names.sort()).toEqual(['napi_register_module_v1', 'node_api_module_get_api_version_v1']);
});

test('importing it does nothing, and a missing binary is one clear error at the first call', async () => {
  const folder = temporaryFolder();
  copyPackage(folder);
  const copy = (await import(pathToFileURL(join(folder, 'dist/index.js')).href)) as typeof Native;
  for (const call of [() => copy.bootId(), () => copy.watcherPath(), () => copy.lockDirectory('/tmp')]) {
    expect(call).toThrow(expect.objectContaining({ code: 'MICROVM_NATIVE_NOT_LOADED' }));
  }
  const { platform, arch } = process;
  expect(() => copy.bootId()).toThrow(
    new RegExp(`${platform}-${arch} \\((glibc [\\d.]+|musl)\\)[^]*npm run build -w native`),
  );
});

test('a binary that does not fit says so', async () => {
  const folder = temporaryFolder();
  copyPackage(folder);
  mkdirSync(join(folder, 'build/Release'), { recursive: true });
  writeFileSync(join(folder, 'build/Release/native.node'), 'not a shared object');
  const copy = (await import(pathToFileURL(join(folder, 'dist/index.js')).href)) as typeof Native;
  expect(() => copy.bootId()).toThrow(/does not load on .*A binary is there/s);
});

test('without a descriptor left the error is the system’s own, whether the addon is loaded or not', async () => {
  const run = runNode(
    `import { execFileSync } from 'node:child_process';
     import { closeSync, openSync } from 'node:fs';
     execFileSync('prlimit', ['--pid=' + process.pid, '--nofile=64:']);
     const codes = [];
     for (const call of [native.bootId, native.watcherPath, native.bootId, native.watcherPath]) {
       const taken = [];
       try { for (;;) taken.push(openSync('/dev/null', 'r')); } catch {}
       try { call(); codes.push('done'); } catch (error) { codes.push(error.code); }
       for (const fd of taken) closeSync(fd);
       if (codes.length === 2) native.bootId();
     }
     console.log(codes.join());`,
  );
  const { output } = await run.finished;
  // The third call needs none: the addon is there.
  expect(output).toMatch(/^EMFILE,EMFILE,(done|EMFILE),EMFILE\n$/);
});

// Everything at once, so that something is always in flight.
const EVERYTHING = `
  const calls = () => [
    native.spawnProcess({ file: 'sleep', args: ['0.01'] }),
    native.searchProcesses({ argument: 'no such needle' }),
    native.lockDirectory(folder).then((lock) => lock.release(), () => {}),
    native.writeDurable(folder + '/f', 'x'.repeat(10000)),
    native.copyFile(process.execPath, folder + '/copy', { sparse: true, onProgress: () => {} }),
    native.probeKvm(),
    native.listenUnix(folder + '/s' + Math.random()),
  ].map((promise) => promise.catch(() => {}));
  native.watchProcess(native.processIdentity(process.pid));
`;

/** What a call gives its name only when it is whole. */
function halfMade(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith('.tmp-'));
}

/** A file with a worker that calls everything once, or again and again. */
function workerFile(folder: string, forEver: boolean): string {
  const file = join(folder, 'worker.mjs');
  const url = new URL('../dist/index.js', import.meta.url).href;
  const turn = 'await Promise.all(calls());';
  writeFileSync(
    file,
    `import { parentPort } from 'node:worker_threads';
     import * as native from ${JSON.stringify(url)};
     const folder = ${JSON.stringify(folder)};
     ${EVERYTHING}
     ${forEver ? `parentPort.postMessage('in'); while (true) ${turn}` : `${turn} parentPort.postMessage('ok');`}`,
  );
  return JSON.stringify(file);
}

test('works in worker threads, and several at once', async () => {
  const run = runNode(
    `import { Worker } from 'node:worker_threads';
     const workers = Array.from({ length: 4 }, () => new Worker(${workerFile(temporaryFolder(), false)}, { execArgv: [] }));
     for (const worker of workers) worker.on('message', (text) => console.log(text));
     await Promise.all(workers.map((worker) => new Promise((resolve) => worker.on('exit', resolve))));
     console.log('done');`,
  );
  expect(await run.finished).toEqual({ code: 0, signal: null, output: 'ok\nok\nok\nok\ndone\n' });
});

test('a worker terminated in the middle of everything ends cleanly', async () => {
  const folder = temporaryFolder();
  const run = runNode(
    `import { Worker } from 'node:worker_threads';
     for (let i = 0; i < 8; ++i) {
       const worker = new Worker(${workerFile(folder, true)}, { execArgv: [] });
       await new Promise((resolve) => worker.on('message', resolve));
       for (let tick = 0; tick < i; ++tick) await new Promise(setImmediate);
       await worker.terminate();
     }
     console.log('done');`,
  );
  expect(await run.finished).toEqual({ code: 0, signal: null, output: 'done\n' });
  expect(halfMade(folder)).toEqual([]);
});

test('process.exit in the middle of everything gives its code and leaves nothing half-made', async () => {
  const folder = temporaryFolder();
  for (const delay of [
    '',
    'await new Promise(setImmediate);',
    'await native.searchProcesses({ argument: "x" });',
  ]) {
    const run = runNode(
      `const folder = ${JSON.stringify(folder)};${EVERYTHING} for (let i = 0; i < 8; ++i) calls(); ${delay} process.exit(7);`,
    );
    expect(await run.finished).toEqual({ code: 7, signal: null, output: '' });
  }
  expect(halfMade(folder)).toEqual([]);
});

test('a callback that throws is an uncaught exception, not a crash', async () => {
  const folder = temporaryFolder();
  const run = runNode(
    `process.on('uncaughtException', (error) => console.log('caught', error.message));
     const result = await native.copyFile(process.execPath, process.argv[1], { sparse: true, onProgress: () => { throw new Error('mine'); } });
     console.log(result.sizeBytes > 0);`,
    [join(folder, 'copy')],
  );
  const { code, output } = await run.finished;
  expect(code).toBe(0);
  expect(output).toMatch(/^(caught mine\n)+true\n$/);
});

test('garbage collection in the middle of everything harms nothing', async () => {
  const folder = temporaryFolder();
  const run = runNode(
    `const folder = ${JSON.stringify(folder)};${EVERYTHING}
     const timer = setInterval(() => globalThis.gc(), 1);
     for (let i = 0; i < 5; ++i) await Promise.all(calls());
     clearInterval(timer);
     console.log('done');`,
  );
  expect(await run.finished).toEqual({ code: 0, signal: null, output: 'done\n' });
});
