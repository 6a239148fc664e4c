import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TreeFeed, TreeSource, type TreeState } from '../dist/index.js';
import { rejection, runNode, temporaryFolder } from './fixture.js';

const ROUNDS = 1000;
/** What the allocator and the garbage collector keep for later; a leak of 8 KiB a round is more. */
const MAX_GROWTH_KIB = 8 * 1024;
const LIMITS = { maxEntries: 1000, maxBytes: 1 << 20 };

function makeTree(): string {
  const tree = join(temporaryFolder(), 'tree');
  mkdirSync(join(tree, 'deep'), { recursive: true });
  writeFileSync(join(tree, 'program'), '#!/bin/sh\n', { mode: 0o755 });
  writeFileSync(join(tree, 'deep', 'file'), 'x'.repeat(100_000));
  symlinkSync('deep/file', join(tree, 'link'));
  return tree;
}

async function copyTree(from: string, to: string, limits = LIMITS): Promise<TreeState | undefined> {
  const [source, feed] = [new TreeSource(from), new TreeFeed(to, limits)];
  let state: TreeState | undefined;
  try {
    for (let bytes = await source.read(); bytes !== undefined; bytes = await source.read())
      state = await feed.feed(bytes);
  } finally {
    source.close();
    feed.close();
  }
  return state;
}

test('what a source reads, a feed writes: content, modes and links', async () => {
  const [from, to] = [makeTree(), join(temporaryFolder(), 'copy')];
  expect(await copyTree(from, to)).toMatchObject({ bytes: 100_010, skipped: 0, ended: true });
  expect(readdirSync(to).sort()).toEqual(['deep', 'link', 'program']);
  expect(readFileSync(join(to, 'deep', 'file'), 'utf8')).toBe('x'.repeat(100_000));
  expect(lstatSync(join(to, 'program')).mode & 0o777).toBe(0o755);
  expect(readlinkSync(join(to, 'link'))).toBe('deep/file');
});

test('more than was allowed, and what breaks the protocol, are refused by their errors', async () => {
  const from = makeTree();
  const few = copyTree(from, join(temporaryFolder(), 'few'), { ...LIMITS, maxEntries: 1 });
  expect(await rejection(few)).toMatchObject({ code: 'EOVERFLOW', syscall: 'entries' });
  const small = copyTree(from, join(temporaryFolder(), 'small'), { ...LIMITS, maxBytes: 10 });
  expect(await rejection(small)).toMatchObject({ code: 'EOVERFLOW', syscall: 'bytes' });
  const feed = new TreeFeed(join(temporaryFolder(), 'bad'), LIMITS);
  expect(await rejection(feed.feed(Buffer.alloc(64, 0xff)))).toMatchObject({ code: 'EPROTO' });
  feed.close();
  feed.close();
  const nowhere = new TreeSource(join(from, 'nowhere'));
  expect(await rejection(nowhere.read())).toMatchObject({ code: 'ENOENT' });
  nowhere.close();
});

test('a thousand trees, each third of them broken off, leave no descriptor and no memory', async () => {
  const from = makeTree();
  const run = runNode(`
    import fs from 'node:fs';
    const from = ${JSON.stringify(from)}, folder = ${JSON.stringify(temporaryFolder())};
    const round = async (i) => {
      const target = folder + '/' + i;
      const source = new native.TreeSource(from), feed = new native.TreeFeed(target, ${JSON.stringify(LIMITS)});
      const bytes = await source.read();
      // Broken off in the middle of the content of a file.
      await feed.feed(i % 3 === 2 ? bytes.subarray(0, bytes.length / 2) : bytes);
      source.close();
      feed.close();
      fs.rmSync(target, { recursive: true });
    };
    const held = async () => {
      for (let i = 0; i < 3; ++i) { globalThis.gc(); await new Promise(setImmediate); }
      return { descriptors: fs.readdirSync('/proc/self/fd').length, rssKib: process.memoryUsage.rss() >> 10 };
    };
    // The allocator keeps some 14 MiB of the first thousand, and nothing of later ones.
    for (let i = 0; i < ${ROUNDS}; ++i) await round(i);
    const before = await held();
    for (let i = 0; i < ${ROUNDS}; ++i) await round(i);
    const after = await held();
    console.log(JSON.stringify([after.descriptors - before.descriptors, after.rssKib - before.rssKib]));
  `);
  const { code, output } = await run.finished;
  expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(/^\[.*\]\n$/) as string });
  const [descriptors, growthKib] = JSON.parse(output) as [number, number];
  expect(descriptors).toBe(0);
  expect(growthKib).toBeLessThan(MAX_GROWTH_KIB);
}, 120_000);
