import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { listenVsock, waitForVsock } from '../dist/index.js';
import { openDescriptors, runNode, temporaryFolder, threads } from './fixture.js';
import { VsockDevice } from './vsock-device.js';

const PORT = 52;

/**
 * Every call of the waits, in every case; expects `native`, and `at`: the folder with the stand-ins below.
 */
const CALLS = `
  let names = 0;
  const tag = process.pid + '-' + (globalThis.workerId ?? 'main');
  const process_ = native.processIdentity(process.pid);
  const calls = () => {
    const path = at + '/own-' + tag + '-' + ++names;
    const signal = AbortSignal.timeout(names % 7);
    return [
      native.waitForSocket({ path: at + '/up', process: process_ }).then((socket) => socket.destroy()),
      native.waitForSocket({ path: at + '/none/at/all', deadline: 5 }),
      native.waitForVsock({ path: at + '/up', port: ${PORT} }).then((socket) => socket.destroy()),
      native.waitForVsock({ path: at + '/up', port: 1, deadline: 6, process: process_ }),
      native.waitForVsock({ path: at + '/silent', port: 1, signal }),
      native.listenVsock({ path, port: 1 }).then(async (listening) => {
        const accepts = [{ signal }, { deadline: 3 }, {}].map((options) => listening.accept(options).catch(() => {}));
        const guest = await native.waitForSocket({ path: listening.path });
        await Promise.all(accepts.slice(0, 2));
        await listening.close();
        for (const accepted of await Promise.all(accepts)) accepted?.destroy();
        guest.destroy();
      }),
    ].map((promise) => promise.catch(() => {}));
  };
`;

/** The folder of the calls, with two devices: one whose guest is up, one that never answers. */
async function devices(): Promise<string> {
  const folder = temporaryFolder();
  const up = await VsockDevice.listen(join(folder, 'up'));
  up.serve(PORT, (socket) => socket.end('OK 1\nhello').resume());
  up.boot();
  await VsockDevice.listen(join(folder, 'silent'));
  return folder;
}

/** A worker that calls everything again and again. */
function workerFile(folder: string): string {
  const file = join(folder, 'worker.mjs');
  const url = new URL('../dist/index.js', import.meta.url).href;
  writeFileSync(
    file,
    `import { parentPort, threadId } from 'node:worker_threads';
     import * as native from ${JSON.stringify(url)};
     globalThis.workerId = threadId;
     const at = ${JSON.stringify(folder)};
     ${CALLS}
     calls();
     parentPort.postMessage('in');
     while (true) await Promise.all(calls());`,
  );
  return JSON.stringify(file);
}

test('process.exit in the middle of every call gives its code', async () => {
  const folder = JSON.stringify(await devices());
  const turn = 'await new Promise(setImmediate);';
  for (const delay of [
    '',
    turn,
    turn.repeat(3),
    'await native.searchProcesses({ argument: "x" });',
    'await Promise.race(calls());',
  ]) {
    const run = runNode(
      `const at = ${folder}; ${CALLS} for (let i = 0; i < 20; ++i) calls(); ${delay} process.exit(7);`,
    );
    expect(await run.finished).toEqual({ code: 7, signal: null, output: '' });
  }
});

test('a worker terminated in the middle of every call leaves nothing', async () => {
  const folder = await devices();
  const run = runNode(
    `import { Worker } from 'node:worker_threads';
     import { readdirSync } from 'node:fs';
     const held = () => [readdirSync('/proc/self/fd').length, readdirSync('/proc/self/task').length].join();
     const seen = [];
     for (let i = 0; i < 24; ++i) {
       const worker = new Worker(${workerFile(folder)}, { execArgv: [] });
       await new Promise((resolve) => worker.on('message', resolve));
       for (let tick = 0; tick < i * 3; ++tick) await new Promise(setImmediate);
       await worker.terminate();
       // Ended after all that the worker had begun.
       await native.waitForSocket({ path: ${JSON.stringify(folder)} + '/none', deadline: 0 }).catch(() => {});
       // What a thread of the pool was at for the worker ends a moment later.
       const patience = Date.now() + 200;
       while (i > 4 && held() !== seen.at(-1) && Date.now() < patience) await new Promise(setImmediate);
       seen.push(held());
     }
     console.log(new Set(seen.slice(4)).size === 1 ? 'as before' : seen.join(' '));`,
  );
  expect(await run.finished).toEqual({ code: 0, signal: null, output: 'as before\n' });
});

test('garbage collection in the middle of every call harms nothing', async () => {
  const run = runNode(
    `const at = ${JSON.stringify(await devices())}; ${CALLS}
     const timer = setInterval(() => globalThis.gc(), 1);
     for (let i = 0; i < 20; ++i) await Promise.all([...calls(), ...calls()]);
     clearInterval(timer);
     console.log('done');`,
  );
  expect(await run.finished).toEqual({ code: 0, signal: null, output: 'done\n' });
});

test('a listener that nobody references still listens', async () => {
  const path = join(temporaryFolder(), 'v');
  const run = runNode(
    `const path = process.argv[1];
     let ready;
     await (async () => { ready = (await native.listenVsock({ path, port: 1 })).accept(); })();
     for (let i = 0; i < 3; ++i) { globalThis.gc(); await new Promise(setImmediate); }
     (await native.waitForSocket({ path: path + '_1' })).end('from the guest');
     for await (const chunk of await ready) console.log(String(chunk));`,
    [path],
  );
  expect(await run.finished).toEqual({ code: 0, signal: null, output: 'from the guest\n' });
});

test('a pending wait keeps Node alive, a listener alone does not', async () => {
  const folder = temporaryFolder();
  const idle = runNode(`await native.listenVsock({ path: process.argv[1], port: 1 });`, [join(folder, 'v')]);
  expect(await idle.finished).toEqual({ code: 0, signal: null, output: '' });
  const waiting = runNode(
    `console.log('waiting'); await native.waitForVsock({ path: process.argv[1], port: 1 }); console.log('there');`,
    [join(folder, 'late')],
  );
  await waiting.sees('waiting');
  const device = await VsockDevice.listen(join(folder, 'late'));
  device.serve(1, (socket) => socket.end('OK 1\n').resume());
  device.boot();
  expect(await waiting.finished).toEqual({ code: 0, signal: null, output: 'waiting\nthere\n' });
});

test('all waits share one thread, and libuv’s pool stays free', async () => {
  const folder = await devices();
  const silent = { path: join(folder, 'silent'), port: 1 };
  const controller = new AbortController();
  const first = waitForVsock({ ...silent, signal: controller.signal }).catch(() => undefined);
  const before = { threads: threads().length, descriptors: openDescriptors() };
  const waits = Array.from({ length: 500 }, () =>
    waitForVsock({ ...silent, signal: controller.signal }).catch(() => undefined),
  );
  const listening = await listenVsock({ path: join(folder, 'v'), port: 1 });
  const accepts = Array.from({ length: 500 }, () =>
    listening.accept({ signal: controller.signal }).catch(() => undefined),
  );
  // The pool has four threads: with a wait in it, this would never come.
  expect((await readFile('/proc/self/comm')).length).toBeGreaterThan(0);
  expect(threads().length).toBeLessThanOrEqual(before.threads + 4);
  controller.abort();
  await Promise.all([first, ...waits, ...accepts, listening.close()]);
});

test('memory does not grow with the waits that have ended', async () => {
  const run = runNode(
    `const at = ${JSON.stringify(await devices())};
     const aborted = async () => {
       const controller = new AbortController();
       setImmediate(() => controller.abort());
       await native.waitForVsock({ path: at + '/silent', port: 1, signal: controller.signal });
     };
     const listened = async () => {
       const listening = await native.listenVsock({ path: at + '/v', port: 1 });
       await Promise.allSettled([listening.accept(), listening.close()]);
     };
     const late = () => native.waitForSocket({ path: at + '/none/at/all', deadline: 0 });
     const rounds = async (count) => {
       for (let i = 0; i < count; ++i) await Promise.allSettled([aborted(), listened(), late()]);
     };
     // Without what V8 keeps in reserve.
     const inUse = () => {
       globalThis.gc();
       const { rss, heapTotal, heapUsed } = process.memoryUsage();
       return rss - heapTotal + heapUsed;
     };
     // Until the C library's heap has its size.
     await rounds(1500);
     const before = inUse();
     await rounds(3000);
     const perCall = (inUse() - before) / 9000;
     console.log(perCall < 400 ? 'flat' : perCall + ' bytes per call');`,
  );
  expect(await run.finished).toEqual({ code: 0, signal: null, output: 'flat\n' });
}, 120_000);
