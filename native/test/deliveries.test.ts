import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { lockDirectory } from '../dist/index.js';
import { runNode, temporaryFolder } from './fixture.js';
import { VsockDevice } from './vsock-device.js';

const PORT = 52;

/** Never comes back: the worker is terminated there. */
const STOP = `const stop = () => { parentPort.postMessage('there'); for (;;); };`;

/**
 * A signal that stops the worker when it is asked for an abort for the second time: the result is there, the
 * caller has not got it.
 */
const STOPPING_SIGNAL = `
  const { signal } = new AbortController();
  let reads = 0;
  Object.defineProperty(signal, 'aborted', { get: () => (++reads > 1 ? stop() : false) });
  signal.removeEventListener = stop;
`;

/** Stops the worker when Node is about to make a stream of a descriptor. */
const STOPPING_SOCKET = `
  net.Socket = class { constructor() { stop(); } };
  syncBuiltinESMExports();
`;

/** Stops it when it has just made one. */
const STOPPING_AFTER_SOCKET = `
  const { Socket } = net;
  net.Socket = class extends Socket { constructor(options) { super(options); stop(); } };
  syncBuiltinESMExports();
`;

/**
 * A file with a worker that makes the call, and is stopped in the moment in which it would get its result.
 */
function workerFile(folder: string, preparation: string, call: string): string {
  const file = join(temporaryFolder(), 'worker.mjs');
  writeFileSync(
    file,
    `import { closeSync } from 'node:fs';
     import net from 'node:net';
     import { syncBuiltinESMExports } from 'node:module';
     import { parentPort } from 'node:worker_threads';
     ${STOP}
     ${preparation}
     const native = await import(${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)});
     const folder = ${JSON.stringify(folder)};
     ${call}`,
  );
  return JSON.stringify(file);
}

/** How many descriptors and children a process has more once the workers are gone. */
async function lostBy(worker: string): Promise<unknown> {
  const idleWorker = workerFile('', '', 'stop();');
  const run = runNode(
    `import { Worker } from 'node:worker_threads';
     import { readdirSync, readFileSync } from 'node:fs';
     const children = () => readdirSync('/proc/self/task')
       .map((task) => { try { return readFileSync('/proc/self/task/' + task + '/children', 'utf8'); } catch { return ''; } })
       .join(' ').split(' ').filter(Boolean).length;
     const held = () => ({ descriptors: readdirSync('/proc/self/fd').length, children: children() });
     const stopOne = async (file) => {
       const worker = new Worker(file, { execArgv: [], trackUnmanagedFds: false });
       await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
       await worker.terminate();
     };
     // What the first worker, the first watch and the first wait start has descriptors for good.
     await stopOne(${idleWorker});
     native.watchProcess(native.processIdentity(process.pid)).close();
     await native.waitForSocket({ path: '/none', deadline: 0 }).catch(() => {});
     const before = held();
     for (let i = 0; i < 5; ++i) await stopOne(${worker});
     const lost = () => Object.fromEntries(Object.entries(held()).map(([key, count]) => [key, count - before[key]]));
     // A child that was killed is reaped a moment later.
     const patience = Date.now() + 10_000;
     while (Object.values(lost()).some((count) => count > 0) && Date.now() < patience)
       await new Promise((resolve) => setTimeout(resolve, 20));
     console.log(JSON.stringify(lost()));`,
  );
  const { code, output } = await run.finished;
  expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(/^\{.*\}\n$/) as string });
  return JSON.parse(output);
}

/** A folder with a stand-in for Firecracker's socket, a file to open and a folder to lock. */
async function folderWithSocket(): Promise<string> {
  const folder = temporaryFolder();
  const device = await VsockDevice.listen(join(folder, 'up'));
  device.serve(PORT, (socket) => socket.write('OK 1\n'));
  device.boot();
  mkdirSync(join(folder, 'locked'));
  writeFileSync(join(folder, 'file'), '');
  return folder;
}

const NOTHING = { descriptors: 0, children: 0 };

const STREAMS = {
  waitForSocket: `await native.waitForSocket({ path: folder + '/up', signal });`,
  waitForVsock: `await native.waitForVsock({ path: folder + '/up', port: ${PORT}, signal });`,
  accept: `
    const listening = await native.listenVsock({ path: folder + '/' + Math.random(), port: 1 });
    const accepted = listening.accept({ signal });
    closeSync(await native.connectUnix(listening.path));
    await accepted;`,
};

const RESULTS = {
  connectUnix: `await native.connectUnix(folder + '/up', { signal });`,
  listenUnix: `await native.listenUnix(folder + '/' + Math.random(), { signal });`,
  openBeneath: `await native.openBeneath(folder, 'file', { signal });`,
  listenVsock: `await native.listenVsock({ path: folder + '/v' + Math.random(), port: 1, signal });`,
  spawnProcess: `await native.spawnProcess({ file: 'sleep', args: ['30'], signal });`,
  lockDirectory: `await native.lockDirectory(folder + '/locked', { signal });`,
};

describe('a worker that is terminated in the moment in which it gets', () => {
  test.each(Object.entries({ ...STREAMS, ...RESULTS }))(
    'the result of %s leaves nothing of it',
    async (_, call) => {
      const folder = await folderWithSocket();
      expect(await lostBy(workerFile(folder, STOPPING_SIGNAL, call))).toEqual(NOTHING);
      expect(readdirSync(folder).filter((name) => name.endsWith('_1') && name.startsWith('v'))).toEqual([]);
      await expect(lockDirectory(join(folder, 'locked'))).resolves.toBeDefined();
    },
  );

  test.each(Object.entries(STREAMS))('the stream of %s leaves none, made or not', async (_, call) => {
    const folder = await folderWithSocket();
    for (const stopping of [STOPPING_SOCKET, STOPPING_AFTER_SOCKET]) {
      const preparation = `const signal = undefined; ${stopping}`;
      expect(await lostBy(workerFile(folder, preparation, call))).toEqual(NOTHING);
    }
  });
});
