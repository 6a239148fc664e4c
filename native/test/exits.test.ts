import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runNode, temporaryFolder } from './fixture.js';

const AT_ONCE = 40;
const MOMENTS_MS = [0, 1, 2, 4, 8, 16];
const FILES = 40;

/** Each makes what has the name. */
const CALLS = {
  writeDurable: `(name) => native.writeDurable(folder + '/' + name, 'x'.repeat(300_000))`,
  copyFile: `(name) => native.copyFile(folder + '/data', folder + '/' + name, { durable: true })`,
  putDurable: `(name) => native.putDurable({ copy: folder + '/data' }, folder + '/' + name)`,
  stageJail: `(name) => native.stageJail({
    root: folder + '/' + name + '/root', uid: process.getuid(), gid: process.getgid(),
    private: Array.from({ length: ${FILES} }, (_, i) => ({ name: String(i), from: folder + '/data' })),
  })`,
};

function source(): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'data'), Buffer.alloc(300_000, 'x'));
  return folder;
}

/** Where a call puts several files: how many of them are there. */
function filesIn(folder: string): number[] {
  const roots = readdirSync(folder).filter((name) => name.startsWith('to-'));
  return roots.flatMap((name) => {
    const path = join(folder, name, 'root');
    return existsSync(path) ? [readdirSync(path).length] : [];
  });
}

test.each(Object.entries(CALLS))(
  'process.exit in the middle of many %s leaves each target whole or absent, and nothing beside it',
  async (name, call) => {
    const folder = source();
    for (const moment of MOMENTS_MS) {
      // Half of the targets are there already: those take another way.
      const run = runNode(
        `const folder = ${JSON.stringify(folder)};
         const call = ${call};
         for (let i = 0; i < ${AT_ONCE}; ++i) void call('to-' + (i % 2) * ${moment} + '-' + i).catch(() => {});
         await new Promise((resolve) => setTimeout(resolve, ${moment}));
         process.exit(7);`,
      );
      expect(await run.finished).toEqual({ code: 7, signal: null, output: '' });
    }
    const names = readdirSync(folder, { recursive: true }) as string[];
    expect(names.filter((path) => /(^|\/)\.tmp-/.test(path))).toEqual([]);
    if (name === 'stageJail') expect(filesIn(folder).filter((count) => count !== FILES)).toEqual([]);
  },
);

test('process.exit while workers are in the middle of calls leaves nothing either', async () => {
  const folder = source();
  const worker = join(temporaryFolder(), 'worker.mjs');
  writeFileSync(
    worker,
    `import { parentPort } from 'node:worker_threads';
     import * as native from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)};
     const folder = ${JSON.stringify(folder)};
     const calls = [${CALLS.writeDurable}, ${CALLS.putDurable}];
     for (let i = 0; i < ${AT_ONCE}; ++i) void calls[i % 2]('to-' + Math.random()).catch(() => {});
     parentPort.postMessage('in');`,
  );
  for (let round = 0; round < 6; ++round) {
    const run = runNode(
      `import { Worker } from 'node:worker_threads';
       const workers = [0, 1].map(() => new Worker(${JSON.stringify(worker)}, { execArgv: [] }));
       await Promise.race(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
       process.exit(7);`,
    );
    expect(await run.finished).toEqual({ code: 7, signal: null, output: '' });
  }
  expect(readdirSync(folder).filter((path) => path.startsWith('.tmp-'))).toEqual([]);
});
