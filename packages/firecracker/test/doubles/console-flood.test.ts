import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { outputOf } from '@microvm/conformance/linux-guest';
import { writeFaults } from '@microvm/fake-firecracker';
import { expect, it, onTestFinished } from 'vitest';
import { openDoubles } from './doubles.js';

const FLOOD_BYTES = 64 * 1024 * 1024;
const LIMIT_BYTES = 64 * 1024;

// The emulated KVM of the testbed does not survive a real flood: its host's kernel panics on so many exits.
it('bounds the console of a guest that floods it, and goes on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fc-flood-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const stateDir = join(folder, 'state');
  const runtime = await openDoubles({ stateDir });
  // Beside the program that VMs run.
  await writeFaults(join(stateDir, 'bin', 'firecracker'), [
    { on: 'guest-up', do: 'console-flood', bytes: FLOOD_BYTES },
  ]);
  await runtime.createVmWithSpec('loud', { consoleLimitBytes: LIMIT_BYTES });
  await runtime.startVm('loud');
  const { instanceId = '' } = (await runtime.getVm('loud')) ?? {};
  const log = join(stateDir, 'vms', instanceId, 'console.log');
  const isBounded = async (): Promise<boolean> => {
    const { size, blocks } = await stat(log);
    return size >= FLOOD_BYTES && blocks * 512 <= 2 * LIMIT_BYTES;
  };
  await expect.poll(isBounded).toBe(true);
  let kept = 0;
  for await (const chunk of runtime.consoleVm('loud')) kept += chunk.length;
  expect(kept).toBe(LIMIT_BYTES);
  expect(await outputOf(await runtime.guest('loud'), 'echo well')).toBe('well');
});
