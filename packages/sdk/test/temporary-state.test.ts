import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, watch } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, it, onTestFinished } from 'vitest';
import { createTemporaryState } from '../src/temporary-state.js';

const tsx = createRequire(import.meta.url).resolve('tsx');
const module = new URL('../src/temporary-state.ts', import.meta.url).href;

/**
 * A process of its own with a temporary state directory with something in it; `then` is its next statement.
 */
function owner(then: string, temp: string): ChildProcessByStdio<null, Readable, null> {
  const script = `
    const { createTemporaryState } = await import(${JSON.stringify(module)});
    const { mkdirSync } = await import('node:fs');
    const { path } = await createTemporaryState();
    mkdirSync(path + '/vms/x', { recursive: true });
    process.stdout.write(path + '\\n');
    ${then}`;
  const child = spawn(process.execPath, ['--import', tsx, '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: temp },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

async function temporaryFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'sdk-test-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Resolves when the path is gone. */
async function gone(path: string): Promise<void> {
  const watcher = watch(dirname(path));
  try {
    while (existsSync(path)) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
}

it('is removed with all that is in it', async () => {
  const state = await createTemporaryState();
  await mkdir(join(state.path, 'vms'));
  await writeFile(join(state.path, 'vms', 'x'), '');
  await state.remove();
  expect(existsSync(state.path)).toBe(false);
  await state.remove();
});

it('goes when the process has exited by itself', async () => {
  const child = owner('process.exit(0);', await temporaryFolder());
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  expect(output.trim()).toContain('microvm-');
  await gone(output.trim());
});

/** Resolves when the process that guards a folder has found somebody in it, and waits. */
async function guardWaits(path: string): Promise<void> {
  const waits = async (): Promise<boolean> => {
    const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    const commands = await Promise.all(
      ids.map(async (pid) => ({
        line: await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
        parent: / \S (\d+) /.exec(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''))?.[1],
        pid,
      })),
    );
    const guard = commands.find(({ line }) => line.endsWith(`microvm-guard\0${path}\0`));
    return commands.some(({ line, parent }) => line === 'sleep\x001\0' && parent === guard?.pid);
  };
  await expect.poll(waits).toBe(true);
}

it('does not go before the processes that work in it', async () => {
  const child = owner('setInterval(() => {}, 1e6);', await temporaryFolder());
  const [bytes] = (await once(child.stdout, 'data')) as [Buffer];
  const path = bytes.toString().trim();
  const vmm = spawn('sleep', ['1000'], { cwd: join(path, 'vms', 'x') });
  onTestFinished(() => void vmm.kill('SIGKILL'));
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
  await guardWaits(path);
  expect(existsSync(join(path, 'vms', 'x'))).toBe(true);
  vmm.kill('SIGKILL');
  await gone(path);
});

it('is refused as an argument where TMPDIR names no folder', async () => {
  const before = process.env['TMPDIR'];
  onTestFinished(() => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  });
  process.env['TMPDIR'] = '/nowhere/at/all';
  await expect(createTemporaryState()).rejects.toMatchObject({
    code: 'MICROVM_INVALID_ARGUMENT',
    details: { path: 'TMPDIR' },
  });
});

it.each(['SIGKILL', 'SIGINT'] as const)('goes after its process was ended by %s', async (signal) => {
  const child = owner('setInterval(() => {}, 1e6);', await temporaryFolder());
  const [bytes] = (await once(child.stdout, 'data')) as [Buffer];
  const path = bytes.toString().trim();
  expect(existsSync(path)).toBe(true);
  const exited = once(child, 'exit');
  child.kill(signal);
  expect(await exited).toEqual([null, signal]);
  await gone(path);
});

it('does not keep a process alive that has nothing left to do', async () => {
  const child = owner('', await temporaryFolder());
  expect(await once(child, 'exit')).toEqual([0, null]);
});
