import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runNode, temporaryFolder } from './fixture.js';

const ROUNDS = 1000;
/** What the allocator and the garbage collector keep for later; a leak of 8 KiB a round is more. */
const MAX_GROWTH_KIB = 8 * 1024;

/** Each call, on files of `folder`; each ends with the folder as it was. */
const CALLS = `
  import fs from 'node:fs';
  const { uid, gid } = fs.statSync(folder);
  const scrap = () => folder + '/scrap-' + Math.random();
  const remove = (path) => fs.rmSync(path, { recursive: true, force: true });
  const calls = {
    copyFile: (options, path = scrap()) =>
      native.copyFile(folder + '/data', path, { sparse: true, onProgress: () => {}, ...options }).finally(() => remove(path)),
    digestFile: (options) => native.digestFile(folder + '/data', options),
    stageJail: (options, path = scrap()) =>
      native.stageJail({
        root: path + '/root', uid, gid,
        folders: [{ name: 'd' }],
        shared: [{ name: 'kernel', from: folder + '/data' }],
        private: [{ name: 'd/disk', from: folder + '/data' }, { name: 'log' }],
      }, options).finally(() => remove(path)),
    openBeneath: (options) => native.openBeneath(folder, 'tree/a', options).then((fd) => fs.closeSync(fd)),
    removeTree: (options, path = scrap()) => {
      fs.cpSync(folder + '/tree', path, { recursive: true });
      return native.removeTree(path, options).finally(() => remove(path));
    },
  };
  const failing = {
    copyFile: () => native.copyFile(folder + '/none', folder + '/to'),
    digestFile: () => native.digestFile(folder),
    stageJail: () => native.stageJail({ root: folder + '/j/root', uid, gid, private: [{ name: 'a' }, { name: 'b/c' }] }),
    openBeneath: () => native.openBeneath(folder, 'tree'),
    removeTree: () => native.removeTree(folder + '/data').then(({ left }) => { throw left[0]; }),
  };
`;

function sourceFolder(): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'data'), Buffer.alloc(300_000, 'x'));
  mkdirSync(join(folder, 'tree'));
  for (const name of ['a', 'b']) writeFileSync(join(folder, 'tree', name), name);
  return folder;
}

test.each(['copyFile', 'digestFile', 'stageJail', 'openBeneath', 'removeTree'])(
  `%s leaves no descriptor, thread or memory, aborted or not`,
  async (name) => {
    const folder = sourceFolder();
    const before = readdirSync(folder);
    const run = runNode(`
      const folder = ${JSON.stringify(folder)}, name = ${JSON.stringify(name)};
      ${CALLS}
      const outcomes = {};
      const settle = (promise) => promise
        .then(() => 'done', (error) => error.name === 'AbortError' ? 'aborted' : error.code)
        .then((outcome) => { outcomes[outcome] = (outcomes[outcome] ?? 0) + 1; });
      // Each second one is aborted, a little later each time; each tenth fails by itself.
      const round = async (i) => {
        if (i % 10 === 9) return settle(failing[name]());
        const controller = new AbortController();
        const settled = settle(calls[name]({ signal: controller.signal }));
        for (let turns = 0; i % 2 === 1 && turns < (i >> 1) % 4; ++turns) await new Promise(setImmediate);
        if (i % 2 === 1) controller.abort();
        return settled;
      };
      const held = async () => {
        for (let i = 0; i < 3; ++i) { globalThis.gc(); await new Promise(setImmediate); }
        return { descriptors: fs.readdirSync('/proc/self/fd').length, rssKib: process.memoryUsage.rss() >> 10 };
      };
      // A thread that has told its result may still be ending.
      const threads = () => fs.readdirSync('/proc/self/task').map((task) => {
        try { return fs.readFileSync('/proc/self/task/' + task + '/comm', 'utf8').trim(); } catch { return ''; }
      }).filter((thread) => thread.startsWith('mvm-')).length;
      for (let i = 0; i < 200; ++i) await round(i);
      const before = await held();
      for (let i = 0; i < ${ROUNDS}; ++i) await round(i);
      const after = await held();
      while (threads() > 0) await new Promise(setImmediate);
      console.log(JSON.stringify({
        descriptors: after.descriptors - before.descriptors, growthKib: after.rssKib - before.rssKib, outcomes,
      }));
    `);
    const { code, output } = await run.finished;
    expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(/^\{.*\}\n$/) as string });
    const { descriptors, growthKib, outcomes } = JSON.parse(output) as {
      descriptors: number;
      growthKib: number;
      outcomes: Record<string, number>;
    };
    expect(descriptors).toBe(0);
    expect(growthKib).toBeLessThan(MAX_GROWTH_KIB);
    expect(outcomes['done']).toBeGreaterThan(ROUNDS / 3);
    expect(outcomes['aborted']).toBeGreaterThan(0);
    expect(Object.keys(outcomes).length, JSON.stringify(outcomes)).toBe(3);
    expect(readdirSync(folder)).toEqual(before);
  },
  120_000,
);

/** What a call gives its name only when it is whole. */
function halfMade(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith('.tmp-'));
}

/** All calls at once. */
const ALL = `${CALLS} const all = () => Object.values(calls).map((call) => call({}).catch(() => {}));`;

test('process.exit in the middle of any call gives its code and leaves nothing half-made', async () => {
  const folder = sourceFolder();
  for (const turns of [0, 1, 3]) {
    const run = runNode(`
      const folder = ${JSON.stringify(folder)};
      ${ALL}
      for (let i = 0; i < 6; ++i) all();
      for (let i = 0; i < ${turns}; ++i) await new Promise(setImmediate);
      process.exit(7);
    `);
    expect(await run.finished).toEqual({ code: 7, signal: null, output: '' });
  }
  expect(halfMade(folder)).toEqual([]);
});

test('a worker terminated in the middle of any call ends cleanly and leaves nothing half-made', async () => {
  const folder = sourceFolder();
  const script = `
    import { parentPort } from 'node:worker_threads';
    import * as native from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)};
    const folder = ${JSON.stringify(folder)};
    ${ALL}
    parentPort.postMessage('in');
    while (true) await Promise.all(all());
  `;
  const file = join(temporaryFolder(), 'worker.mjs');
  writeFileSync(file, script);
  const run = runNode(`
    import { Worker } from 'node:worker_threads';
    for (let i = 0; i < 12; ++i) {
      // Node warns, if it gets to it, of a descriptor that came from the addon and is closed by \`fs\`.
      const worker = new Worker(${JSON.stringify(file)}, { execArgv: [], trackUnmanagedFds: false });
      await new Promise((resolve) => worker.on('message', resolve));
      for (let turn = 0; turn < i; ++turn) await new Promise(setImmediate);
      await worker.terminate();
    }
    console.log('done');
  `);
  expect(await run.finished).toEqual({ code: 0, signal: null, output: 'done\n' });
  expect(halfMade(folder)).toEqual([]);
});

test('garbage collection in the middle of any call harms nothing', async () => {
  const folder = sourceFolder();
  const run = runNode(`
    const folder = ${JSON.stringify(folder)};
    ${ALL}
    let running = true;
    const collect = () => { globalThis.gc(); if (running) setImmediate(collect); };
    collect();
    for (let i = 0; i < 10; ++i) await Promise.all(all());
    running = false;
    console.log('done');
  `);
  expect(await run.finished).toEqual({ code: 0, signal: null, output: 'done\n' });
});
