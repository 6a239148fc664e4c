import { fork, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { OutputOffsets } from '@microvm/runtime';
import { expect, it, onTestFinished } from 'vitest';
import { openDoubles } from './doubles.js';

/** 100 MB of which no two lines are alike. */
const SCRIPT = 'seq 1 13000000 | head -c 100000000';
const READ_BYTES = 5_000_000;

async function digestOf(script: string): Promise<string> {
  const hash = createHash('sha256');
  const child = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const data of child.stdout) hash.update(data as Buffer);
  return hash.digest('hex');
}

it('an owner that is killed in the midst of 100 MB of output leaves all of the rest to the next one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'microvm-next-owner-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const stateDir = join(folder, 'state');
  const part = join(folder, 'part');
  const child = fork(fileURLToPath(new URL('reading-owner.ts', import.meta.url)), [stateDir], {
    execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
    env: { ...process.env, SCRIPT, READ_BYTES: String(READ_BYTES) },
    stdio: ['ignore', openSync(part, 'w'), 'inherit', 'ipc'],
  });
  const [told] = (await once(child, 'message')) as [{ readonly id: string; readonly from: OutputOffsets }];
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;

  const runtime = await openDoubles({ stateDir });
  expect(runtime.recovery.adopted).toMatchObject([{ vmId: 'vm', state: 'running' }]);
  const guest = await runtime.guest('vm');
  expect(await guest.commands()).toMatchObject([{ id: told.id, state: 'running', isDetached: false }]);
  const hash = createHash('sha256').update(readFileSync(part));
  let bytes = told.from.stdout;
  let snapshot: Promise<unknown> | undefined;
  const reader = guest.attach(told.id, { from: told.from });
  for await (const { data, offset, missingBytes } of reader) {
    expect({ offset, missingBytes }).toEqual({ offset: bytes, missingBytes: 0 });
    hash.update(data);
    bytes += data.length;
    // Nor does a snapshot in the midst of it take anything away.
    if (bytes > 50_000_000) snapshot ??= runtime.snapshotVm('vm', 'taken');
  }
  await snapshot;
  expect(bytes).toBe(100_000_000);
  expect(hash.digest('hex')).toBe(await digestOf(SCRIPT));
  expect(await reader.result).toMatchObject({ exitCode: 0 });
});
