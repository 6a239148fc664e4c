import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { findLeftovers } from '../src/footprint.js';

const INSTANCE = 'f00dfeedf00dfeedf00dfeedf00dfeed';
let stateDir = '';

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'quickstart-test-'));
  onTestFinished(() => rm(stateDir, { recursive: true, force: true }));
});

it('finds nothing where there is nothing but the lock and empty folders', async () => {
  await mkdir(join(stateDir, 'vms'));
  await writeFile(join(stateDir, 'lock'), '');
  await writeFile(join(stateDir, '.reserve'), '');
  expect(await findLeftovers({ stateDir, instanceIds: [INSTANCE], earlierChildren: [] })).toEqual([]);
});

it('finds a file that was left', async () => {
  await mkdir(join(stateDir, 'vms', INSTANCE), { recursive: true });
  await writeFile(join(stateDir, 'vms', INSTANCE, 'console.log'), 'x');
  expect(await findLeftovers({ stateDir, instanceIds: [], earlierChildren: [] })).toEqual([
    `file ${join(stateDir, 'vms', INSTANCE, 'console.log')}`,
  ]);
});

it('finds a process that was left, by the instance in its arguments', async () => {
  const script = 'process.stdout.write("up"); setInterval(() => {}, 1e6)';
  const child = spawn(process.execPath, ['-e', script, '--', `-name=microvm-${INSTANCE}`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const leftovers = await findLeftovers({ stateDir, instanceIds: [INSTANCE], earlierChildren: [] });
  expect(leftovers).toContainEqual(expect.stringContaining(`process ${String(child.pid)}: `));
  expect(leftovers).toContainEqual(`child process ${String(child.pid)}: node`);
});

it('finds a socket that was left', async () => {
  const path = join(stateDir, 'qmp.sock');
  const server = createServer().listen(path);
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  expect(await findLeftovers({ stateDir, instanceIds: [], earlierChildren: [] })).toContain(`socket ${path}`);
});
