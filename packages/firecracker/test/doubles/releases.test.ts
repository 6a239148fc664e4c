import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { faultyFirecracker, writeFaults, type FaultRule } from '@microvm/fake-firecracker';
import { expect, it, onTestFinished } from 'vitest';
import { openDoubles } from './doubles.js';

const AS_1_17_0: FaultRule = { on: 'release', do: 'pose', message: '1.17.0', times: 0 };

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fc-releases-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

// 1.17.0-dev refuses the field that 1.17.0 takes, so a request that has it at the wrong time fails.
it('a snapshot is taken of each release by its own request, and restored by its own format only', async () => {
  const folder = await newFolder();
  const stateDir = join(folder, 'state');
  await using before = await openDoubles({ stateDir });
  await before.createVm('a');
  await before.startVm('a');
  const old = await before.snapshotVm('a', 'of-dev');
  expect(old.vmmVersion).toBe('1.17.0-dev');
  await before.close();

  const firecrackerPath = await faultyFirecracker(folder, [AS_1_17_0]);
  await using then = await openDoubles({ stateDir, firecrackerPath });
  // Its VMs run the copy.
  await writeFaults(join(stateDir, 'bin', 'firecracker'), [AS_1_17_0]);
  const refused = then.createVmWithSpec('b', { restoreFrom: { snapshotUid: old.snapshotUid } });
  await expect(refused).rejects.toMatchObject({
    code: 'MICROVM_SNAPSHOT_INCOMPATIBLE',
    details: { reason: expect.stringContaining('format 11.0.0, not 12.0.0') as string },
  });
  await then.createVm('c');
  await then.startVm('c');
  const { snapshotUid, vmmVersion } = await then.snapshotVm('c', 'of-release');
  expect(vmmVersion).toBe('1.17.0');
  expect(await then.createVmWithSpec('d', { restoreFrom: { snapshotUid } })).toMatchObject({
    state: 'running',
  });
});
