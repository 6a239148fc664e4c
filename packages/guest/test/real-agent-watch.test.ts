import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FileWatcher } from '@microvm/runtime';
import { AgentClient } from '../src/client.js';
import { RealAgent, whyNoNamespaces } from './real-agent.js';

const problem = whyNoNamespaces();
if (problem !== undefined) console.warn(`SKIPPED: the real agent's watches: ${problem}`);

let agent: RealAgent;
let client: AgentClient;
let dir: string;

/** Reads on until this change is told; answers all that was told by then. */
async function until(watcher: FileWatcher, wanted: string): Promise<string[]> {
  const told: string[] = [];
  for (;;) {
    const { value } = await watcher.next();
    if (value === undefined) throw new Error(`the watch ended after ${told.join(', ')}`);
    told.push(`${value.eventType} ${value.filename}`);
    if (told.at(-1) === wanted) return told;
  }
}

describe.skipIf(problem !== undefined)('a watch of a real agent', () => {
  beforeEach(async () => {
    agent = new RealAgent();
    client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
    dir = mkdtempSync(join(tmpdir(), 'microvm-watch-'));
  });

  afterEach(async () => {
    client.close();
    await agent.stop();
    rmSync(dir, { recursive: true });
  });

  it('tells of names that come and go, and of changes', async () => {
    await using watcher = client.files.watch(dir);
    await watcher.ready;
    writeFileSync(join(dir, 'a'), 'x');
    expect(await until(watcher, 'change a')).toEqual(['rename a', 'change a']);
    chmodSync(join(dir, 'a'), 0o600);
    renameSync(join(dir, 'a'), join(dir, 'b'));
    expect(await until(watcher, 'rename b')).toEqual(['change a', 'rename a', 'rename b']);
    mkdirSync(join(dir, 'folder'));
    writeFileSync(join(dir, 'folder/inside'), 'x');
    rmSync(join(dir, 'b'));
    expect(await until(watcher, 'rename b')).toEqual(['rename folder', 'rename b']);
  });

  it('tells of one file by its own name', async () => {
    writeFileSync(join(dir, 'a'), 'x');
    await using watcher = client.files.watch(join(dir, 'a'));
    await watcher.ready;
    appendFileSync(join(dir, 'a'), 'more');
    expect(await watcher.next()).toEqual({ done: false, value: { eventType: 'change', filename: 'a' } });
  });

  it('tells of folders below, also of those that come', async () => {
    mkdirSync(join(dir, 'one/two'), { recursive: true });
    await using watcher = client.files.watch(dir, { recursive: true });
    await watcher.ready;
    writeFileSync(join(dir, 'one/two/a'), '');
    expect(await until(watcher, 'rename one/two/a')).toEqual(['rename one/two/a']);
    mkdirSync(join(dir, 'three/four'), { recursive: true });
    await until(watcher, 'rename three/four');
    writeFileSync(join(dir, 'three/four/b'), '');
    await until(watcher, 'rename three/four/b');
  });

  it('has at most 1,024 folders: ENOSPC at its begin, lagged later', async () => {
    for (let folder = 0; folder < 1_023; folder++) mkdirSync(join(dir, String(folder)));
    await using watcher = client.files.watch(dir, { recursive: true });
    await watcher.ready;
    mkdirSync(join(dir, 'one-more'));
    expect(await until(watcher, 'lagged null')).toEqual(['rename one-more', 'lagged null']);
    const other = client.files.watch(dir, { recursive: true });
    await expect(other.ready).rejects.toMatchObject({ code: 'ENOSPC', syscall: 'watch', path: dir });
    await expect(other.next()).rejects.toMatchObject({ code: 'ENOSPC' });
  });

  it('says that it has lagged when the guest has lost changes', async () => {
    await using watcher = client.files.watch(dir);
    await watcher.ready;
    // The process that reads the kernel's queue stands still, so that the queue is what is bounded here.
    const signal = async (name: string): Promise<void> => {
      const find = `for p in /proc/[0-9]*; do grep -q microvm-files $p/comm && kill -${name} ${'${p#/proc/}'}; done; :`;
      await client.exec({ argv: ['sh', '-c', find] }).result;
    };
    await signal('STOP');
    const script = 'i=0; while [ $i -lt 20000 ]; do : > "$1/$i"; i=$((i + 1)); done';
    await client.exec({ argv: ['sh', '-c', script, 'sh', dir] }).result;
    await signal('CONT');
    await until(watcher, 'lagged null');
  });

  it('ends by its loop, by its signal and with a path that is not there', async () => {
    const watcher = client.files.watch(dir);
    await watcher.ready;
    writeFileSync(join(dir, 'a'), '');
    for await (const { filename } of watcher) {
      expect(filename).toBe('a');
      break;
    }
    expect(await watcher.next()).toEqual({ done: true, value: undefined });
    const abort = new AbortController();
    const other = client.files.watch(dir, { signal: abort.signal });
    await other.ready;
    const reason = new Error('enough');
    const next = other.next();
    abort.abort(reason);
    await expect(next).rejects.toBe(reason);
    const nowhere = client.files.watch(join(dir, 'no'));
    await expect(nowhere.next()).rejects.toMatchObject({
      code: 'ENOENT',
      syscall: 'watch',
      path: join(dir, 'no'),
    });
  });

  it('tells names that are not UTF-8 as bytes', async () => {
    await using watcher = client.files.watch(dir, { encoding: 'buffer' });
    await watcher.ready;
    const name = Buffer.from([0xff, 0x41]);
    writeFileSync(Buffer.concat([Buffer.from(`${dir}/`), name]), '');
    expect(await watcher.next()).toEqual({ done: false, value: { eventType: 'rename', filename: name } });
  });
});
