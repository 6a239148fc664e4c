import { execFileSync } from 'node:child_process';
import { lstatSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CopyOutOptions, TreeCopy, TreeProgress } from '@microvm/runtime';
import { AgentClient } from '../src/client.js';
import { RealAgent, whyNoNamespaces } from './real-agent.js';

const problem = whyNoNamespaces();
if (problem !== undefined) console.warn(`SKIPPED: the real agent's trees: ${problem}`);

const SPARSE_BYTES = 50_000_000;

async function populate(root: string): Promise<void> {
  await fs.mkdir(join(root, 'a/b/c'), { recursive: true });
  await fs.mkdir(join(root, 'empty'));
  await fs.writeFile(join(root, 'a/file'), 'content');
  await fs.writeFile(join(root, 'a/b/nothing'), '');
  await fs.writeFile(join(root, 'a/b/c/long'), Buffer.alloc(300_001, 'some long text '));
  await fs.writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x41])]), 'odd');
  const sparse = await fs.open(join(root, 'sparse'), 'w');
  await sparse.write('begin', 0);
  await sparse.write('middle', 10_000_000);
  await sparse.truncate(SPARSE_BYTES);
  await sparse.close();
  await fs.symlink('../a/file', join(root, 'empty/link'));
  await fs.symlink('/nowhere', join(root, 'dangling'));
  await fs.symlink('.', join(root, 'here'));
  await fs.link(join(root, 'a/file'), join(root, 'a/b/second'));
  await fs.link(join(root, 'a/file'), join(root, 'third'));
  await fs.chmod(join(root, 'a/file'), 0o640);
  await fs.chmod(join(root, 'a/b'), 0o555);
  await fs.lutimes(join(root, 'dangling'), 12, 13.25);
  await fs.utimes(join(root, 'a/file'), 1_000_000_000.5, 1_100_000_000.25);
  await fs.utimes(join(root, 'a/b'), 5, 6);
}

function namesBelow(folder: Buffer): Buffer[] {
  return readdirSync(folder, { encoding: 'buffer' }).flatMap((name) => {
    const path = Buffer.concat([folder, Buffer.from('/'), name]);
    return lstatSync(path).isDirectory() ? [path, ...namesBelow(path)] : [path];
  });
}

/** All that a copy keeps of each entry. */
function describeTree(root: string): string[] {
  const names = namesBelow(Buffer.from(root)).map((path) => path.subarray(root.length + 1));
  const inodes = new Map<number, string>();
  const all = [Buffer.alloc(0), ...names].map((name) => Buffer.concat([Buffer.from(`${root}/`), name]));
  return all
    .map((path) => path.toString('latin1'))
    .toSorted()
    .map((text) => {
      const path = Buffer.from(text, 'latin1');
      const { mode, mtimeMs, size, ino, nlink, blocks } = lstatSync(path);
      const name = path.subarray(root.length).toString('latin1');
      const first = inodes.get(ino) ?? name;
      inodes.set(ino, first);
      const isLink = (mode & 0o170000) === 0o120000;
      const isFolder = (mode & 0o170000) === 0o040000;
      const content = isLink ? readlinkSync(path) : isFolder ? '' : String(readFileSync(path).length);
      const holes = size > 1_000_000 ? ` ${blocks < 1_000 ? 'sparse' : 'dense'}` : '';
      const links = isFolder ? '' : ` ${nlink} as ${first}`;
      return `${name} ${mode.toString(8)} ${mtimeMs} ${isFolder ? '' : size}${links}${holes} ${content}`;
    });
}

let agent: RealAgent;
let client: AgentClient;
let dir: string;

describe.skipIf(problem !== undefined)('the trees of a real agent', () => {
  beforeEach(async () => {
    agent = new RealAgent();
    client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
    dir = mkdtempSync(join(tmpdir(), 'microvm-trees-'));
  });

  afterEach(async () => {
    client.close();
    await agent.stop();
    rmSync(dir, { recursive: true });
  });

  /** In the first test below the agent reads, in the second one it writes. */
  const ways: Readonly<
    Record<string, (from: string, to: string, options?: CopyOutOptions) => Promise<TreeCopy>>
  > = {
    in: (from, to, options) => client.files.copyIn(from, to, options),
    out: (from, to, options) => client.files.copyOut(from, to, options),
  };

  it.each(['in', 'out'])('are copied %s as they are', async (way) => {
    const [from, to] = [join(dir, 'from'), join(dir, 'to')];
    await populate(from);
    const seen: TreeProgress[] = [];
    const copied = await ways[way]?.(from, to, { onProgress: (progress) => seen.push(progress) });
    expect(describeTree(to)).toEqual(describeTree(from));
    expect(readFileSync(join(to, 'a/b/c/long')).equals(readFileSync(join(from, 'a/b/c/long')))).toBe(true);
    const sparse = await fs.open(join(to, 'sparse'));
    const middle = Buffer.alloc(6);
    await sparse.read(middle, 0, 6, 10_000_000);
    await sparse.close();
    expect(middle.toString()).toBe('middle');
    expect(copied?.entries).toBe(15);
    expect(copied?.skipped).toBe(0);
    expect(copied?.bytes).toBeLessThan(1_000_000);
    expect(seen.at(-1)).toEqual({ entries: copied?.entries, bytes: copied?.bytes });
    // A second copy over the first one changes nothing.
    await ways[way]?.(from, to);
    expect(describeTree(to)).toEqual(describeTree(from));
  });

  it.each(['in', 'out'])('of one file are a file: %s', async (way) => {
    await fs.writeFile(join(dir, 'one'), 'content', { mode: 0o600 });
    await fs.symlink('one', join(dir, 'link'));
    expect(await ways[way]?.(join(dir, 'link'), join(dir, 'two'))).toEqual({
      entries: 1,
      bytes: 7,
      skipped: 0,
    });
    expect(readFileSync(join(dir, 'two'), 'utf8')).toBe('content');
    expect(lstatSync(join(dir, 'two')).mode & 0o777).toBe(0o600);
    await expect(ways[way]?.(join(dir, 'no'), join(dir, 'two'))).rejects.toMatchObject({
      ...{ code: 'ENOENT', syscall: 'open', path: join(dir, 'no') },
    });
    await expect(ways[way]?.(join(dir, 'one'), join(dir, 'no/two'))).rejects.toMatchObject({
      ...{ code: 'ENOENT', syscall: 'open', path: join(dir, 'no/two') },
    });
    await expect(ways[way]?.('/dev/null', join(dir, 'null'))).rejects.toMatchObject({ code: 'EINVAL' });
    await fs.mkdir(join(dir, 'folder'));
    await expect(ways[way]?.(join(dir, 'one'), join(dir, 'folder'))).rejects.toMatchObject({
      code: 'EISDIR',
    });
  });

  it.each(['in', 'out'])('leave out what a filter does not want: %s', async (way) => {
    const [from, to] = [join(dir, 'from'), join(dir, 'to')];
    await populate(from);
    const asked: string[] = [];
    const copied = await ways[way]?.(from, to, {
      filter: ({ path, type, target }) => {
        asked.push(`${path} ${type}${target === undefined ? '' : ` ${target}`}`);
        return path !== 'a/b' && path !== 'sparse' && target !== '/nowhere';
      },
    });
    const names = namesBelow(Buffer.from(to))
      .map((path) => path.toString().slice(to.length + 1))
      .toSorted();
    expect(names).toEqual(['a', 'a/file', 'empty', 'empty/link', 'here', 'third', '\ufffdA']);
    expect(copied?.entries).toBe(8);
    expect(asked).toContain('dangling symlink /nowhere');
    expect(asked).not.toContain('a/b/nothing file');
    expect(readFileSync(join(to, 'third'), 'utf8')).toBe('content');
    expect(lstatSync(join(to, 'third')).nlink).toBe(1);
  });

  it.each(['in', 'out'])(
    'have neither devices nor bits of privileges unless they are asked for: %s',
    async (way) => {
      const [from, to] = [join(dir, 'from'), join(dir, 'to')];
      await fs.mkdir(from);
      execFileSync('mkfifo', [join(from, 'fifo')]);
      await fs.writeFile(join(from, 'program'), '');
      await fs.chmod(join(from, 'program'), 0o4755);
      expect(await ways[way]?.(from, to)).toMatchObject({ skipped: 1 });
      expect(readdirSync(to)).toEqual(['program']);
      expect(lstatSync(join(to, 'program')).mode & 0o7777).toBe(0o755);
      expect(await ways[way]?.(from, to, { devices: true, owners: true })).toMatchObject({ skipped: 0 });
      expect(lstatSync(join(to, 'fifo')).isFIFO()).toBe(true);
      expect(lstatSync(join(to, 'program')).mode & 0o7777).toBe(0o4755);
    },
  );

  it('of many small files come whole, and can be given up', async () => {
    const [from, to] = [join(dir, 'from'), join(dir, 'to')];
    for (let folder = 0; folder < 20; folder++) {
      await fs.mkdir(join(from, String(folder)), { recursive: true });
      for (let file = 0; file < 100; file++)
        await fs.writeFile(join(from, String(folder), String(file)), `${file}`);
    }
    await client.files.copyIn(from, to);
    expect(describeTree(to)).toEqual(describeTree(from));
    const abort = new AbortController();
    const reason = new Error('enough');
    const copying = client.files.copyOut(to, join(dir, 'back'), {
      signal: abort.signal,
      onProgress: () => abort.abort(reason),
    });
    await expect(copying).rejects.toBe(reason);
  });

  it('stop at their bounds, and at a disk that is full', async () => {
    const from = join(dir, 'from');
    await populate(from);
    await expect(client.files.copyOut(from, join(dir, 'few'), { maxEntries: 5 })).rejects.toMatchObject({
      code: 'MICROVM_OUTPUT_LIMIT',
      details: { stream: 'files', limitEntries: 5 },
    });
    await expect(client.files.copyOut(from, join(dir, 'small'), { maxBytes: 1_000 })).rejects.toMatchObject({
      code: 'MICROVM_OUTPUT_LIMIT',
      details: { limitBytes: 1_000 },
    });
    const small = join(dir, 'mounted');
    const script = 'mkdir "$1" && mount -t tmpfs -o size=64k t "$1"';
    await client.exec({ argv: ['sh', '-c', script, 'sh', small] }).result;
    await fs.mkdir(join(dir, 'big'));
    for (let file = 0; file < 100; file++)
      await fs.writeFile(join(dir, 'big', `${file}`), Buffer.alloc(100_000));
    await expect(client.files.copyIn(join(dir, 'big'), small)).rejects.toMatchObject({
      ...{ code: 'ENOSPC', syscall: 'write' },
    });
    expect((await client.files.stat('/')).isDirectory()).toBe(true);
  });
});
