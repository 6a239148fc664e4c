import { fork } from 'node:child_process';
import { once } from 'node:events';
import { link, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { VmRuntime } from '@microvm/runtime';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createInMemoryRuntime, createWorld, type InMemoryOptions } from '../src/index.js';

let stateDir: string;
const opened: VmRuntime[] = [];

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'microvm-in-memory-'));
});

afterEach(async () => {
  for (const runtime of opened.splice(0)) await runtime.close();
  await rm(stateDir, { recursive: true, force: true });
});

async function open(options: InMemoryOptions = {}): Promise<VmRuntime> {
  const runtime = await createInMemoryRuntime({ stateDir, ...options });
  opened.push(runtime);
  return runtime;
}

async function run(runtime: VmRuntime, vmId: string, ...argv: [string, ...string[]]): Promise<string> {
  const { stdout } = await (await runtime.guest(vmId)).exec({ argv, input: '' }).result;
  return stdout.toString();
}

async function consoleOf(runtime: VmRuntime, vmId: string): Promise<string> {
  let text = '';
  for await (const chunk of runtime.consoleVm(vmId)) text += chunk.toString();
  return text;
}

async function filesNamed(name: string): Promise<string[]> {
  const entries = await readdir(stateDir, { recursive: true });
  return entries.filter((path) => path.endsWith(`/${name}`)).map((path) => join(stateDir, path));
}

describe('after kill -9 of the process', () => {
  async function killOwner(): Promise<void> {
    const path = fileURLToPath(new URL('./doomed-process.ts', import.meta.url));
    const execArgv = ['--conditions=@microvm/source', '--import', 'tsx'];
    const child = fork(path, [stateDir], { execArgv, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const exited = once(child, 'exit');
    const first = await Promise.race([once(child, 'message'), exited]);
    expect(first).toEqual(expect.arrayContaining(['ready']));
    child.kill('SIGKILL');
    await exited;
  }

  test('living VMs are crashed, the others as they were; disks, consoles and snapshots are there', async () => {
    await killOwner();
    const runtime = await open();
    const states = (await runtime.listVms()).map(({ vmId, state, ending }) => [vmId, state, ending?.reason]);
    expect(states).toEqual([
      ['created', 'created', undefined],
      ['paused', 'crashed', 'lost'],
      ['running', 'crashed', 'lost'],
      ['stopped', 'stopped', 'shutdown'],
    ]);
    expect(runtime.recovery.ended.map(({ vmId }) => vmId).sort()).toEqual(['paused', 'running']);
    expect(runtime.recovery.adopted).toEqual([]);
    expect(await consoleOf(runtime, 'running')).toContain('microvm-agent: ready\n');

    await runtime.createVmWithSpec('restored', { restoreFrom: { vmId: 'running', snapshotId: 'warm' } });
    expect(await run(runtime, 'restored', 'counter')).toBe('2\n');
    expect(await run(runtime, 'restored', 'cat', '/note')).toBe('kept');
    for (const vmId of ['created', 'paused', 'running', 'stopped']) await runtime.startVm(vmId);
    expect(await run(runtime, 'running', 'cat', '/note')).toBe('kept');
    expect(await run(runtime, 'running', 'counter')).toBe('1\n');
  });
});

describe('a state directory', () => {
  test('disks are there when the command that wrote them has ended, and come back', async () => {
    const first = await open();
    await first.createVm('vm');
    await first.startVm('vm');
    expect(await filesNamed('disks.json')).toEqual([]);
    await (await first.guest('vm')).exec({ argv: ['tee', '/a'], input: 'ä' }).result;
    const [path] = await filesNamed('disks.json');
    expect(JSON.parse(await readFile(path as string, 'utf8'))).toMatchObject({
      '/': { '/a': { kind: 'file', mode: 0o644, data: 'Ã¤' } },
    });
    await first.close();
    const second = await open();
    await second.startVm('vm');
    expect(await run(second, 'vm', 'cat', '/a')).toBe('ä');
  });

  test('a console is kept within its limit, also on disk, over several lives', async () => {
    const guest = { boot: (g: { console(text: string): void }) => g.console(`${'x'.repeat(3000)}\n`) };
    const first = await open({ guest });
    await first.createVmWithSpec('vm', { consoleLimitBytes: 4096 });
    for (let life = 0; life < 3; life += 1) {
      await first.startVm('vm');
      await first.stopVm('vm');
    }
    const before = await consoleOf(first, 'vm');
    expect(before).toHaveLength(4096);
    expect((await readFile((await filesNamed('console.log'))[0] as string)).length).toBe(4096);
    await first.close();
    const second = await open({ guest });
    expect(await consoleOf(second, 'vm')).toBe(before);
    await second.startVm('vm');
    expect(await consoleOf(second, 'vm')).toHaveLength(4096);
  });

  test('damaged disks are a typed error that names the file, and the VM can be destroyed', async () => {
    const first = await open();
    await first.createVm('vm');
    await first.startVm('vm');
    await (await first.guest('vm')).exec({ argv: ['tee', '/a'], input: '' }).result;
    await first.stopVm('vm');
    await first.close();
    const [path] = await filesNamed('disks.json');
    await writeFile(path as string, '{');
    const second = await open();
    await expect(second.startVm('vm')).rejects.toMatchObject({
      code: 'MICROVM_STATE_CORRUPT',
      details: { path },
    });
    expect((await second.getVm('vm'))?.state).toBe('stopped');
    await writeFile(path as string, '{"/":{}}');
    expect((await second.startVm('vm')).state).toBe('running');
    expect((await second.destroyVm('vm')).state).toBe('destroyed');
    expect(await filesNamed('disks.json')).toEqual([]);
  });

  test('the console of a destroyed VM is empty, and following it ends', async () => {
    const runtime = await open();
    await runtime.createVm('vm');
    await runtime.startVm('vm');
    await runtime.destroyVm('vm');
    for (const follow of [false, true]) {
      const chunks: Buffer[] = [];
      for await (const chunk of runtime.consoleVm('vm', { follow })) chunks.push(chunk);
      expect(chunks).toEqual([]);
    }
  });

  test('a restored VM has its disks before it has its record’s end', async () => {
    const first = await open();
    await first.createVm('vm');
    await first.startVm('vm');
    await (await first.guest('vm')).exec({ argv: ['tee', '/a'], input: 'x' }).result;
    const { snapshotUid, kind, sizeBytes } = await first.snapshotVm('vm', 'snap');
    expect(kind).toBe('memory');
    expect(sizeBytes).toBeGreaterThan(0);
    await first.createVmWithSpec('clone', { restoreFrom: { snapshotUid } });
    expect(await filesNamed('disks.json')).toHaveLength(3); // two VMs and the snapshot
  });

  test('a snapshot is read whole by the first restore only, also when a file of it got a link and lost it', async () => {
    const runtime = await open();
    await runtime.createVm('vm');
    await runtime.startVm('vm');
    const { snapshotUid } = await runtime.snapshotVm('vm', 'snap');
    await runtime.createVmWithSpec('first', { restoreFrom: { snapshotUid } });
    const folder = join(stateDir, 'snapshots', snapshotUid);
    const wasReadWhole = async () => (await stat(join(folder, 'verified.json'), { bigint: true })).mtimeNs;
    const before = await wasReadWhole();
    // A jail's file is a hard link; the other name goes with the VM.
    for (const name of await readdir(folder)) {
      await link(join(folder, name), join(stateDir, 'link'));
      await rm(join(stateDir, 'link'));
    }
    await runtime.createVmWithSpec('second', { restoreFrom: { snapshotUid } });
    expect(await wasReadWhole()).toBe(before);
  });

  test('VMs of a shared world are adopted by the next runtime', async () => {
    const world = createWorld();
    const first = await open({ world });
    expect(first.capabilities).toMatchObject({ durable: true, adoption: true });
    await first.createVm('vm');
    await first.startVm('vm');
    expect(await run(first, 'vm', 'counter')).toBe('1\n');
    await first.close();
    const second = await open({ world });
    expect(second.recovery.adopted.map(({ vmId, state }) => [vmId, state])).toEqual([['vm', 'running']]);
    expect(await run(second, 'vm', 'counter')).toBe('2\n');
  });

  test('works at the end of a path of more than 200 characters', async () => {
    const runtime = await open({ stateDir: join(stateDir, 'd'.repeat(100), 'e'.repeat(100)) });
    await runtime.createVm('vm');
    await runtime.startVm('vm');
    expect(await run(runtime, 'vm', 'echo', 'here')).toBe('here\n');
  });
});
