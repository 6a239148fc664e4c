import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withFewDescriptors } from '@microvm/conformance';
import { expect, it, onTestFinished } from 'vitest';
import { createInMemoryRuntime } from '../src/index.js';

const CHILD = {
  path: fileURLToPath(new URL('./few-descriptors-child.ts', import.meta.url)),
  execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
};

it('an open without enough descriptors fails as the host’s fault, and takes nothing away', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'microvm-few-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const stateDir = join(folder, 'state');
  const first = await createInMemoryRuntime({ stateDir });
  for (const vmId of ['a', 'b']) {
    await first.createVm(vmId, { idempotencyKey: `create-${vmId}` });
    await first.startVm(vmId);
    await first.snapshotVm(vmId, 's');
  }
  // Jobs of VMs that are gone have files of their own.
  for (let count = 0; count < 40; count += 1) {
    await first.createVm('gone');
    await first.destroyVm('gone');
    await first.forgetVm('gone', { idempotencyKey: `forget-${count}` });
  }
  const snapshots = await first.listSnapshots('a');
  const jobs = (await first.listJobs()).map(({ jobId }) => jobId);
  await first.close();
  const files = await readdir(join(stateDir, 'jobs'));
  expect(files.length).toBeGreaterThanOrEqual(40);

  const { failures } = await withFewDescriptors(CHILD, [stateDir]);
  expect(failures.length).toBeGreaterThan(3);
  for (const { error } of failures) {
    expect(error).toMatchObject({
      code: 'MICROVM_HOST_FAILURE',
      retryable: true,
      details: { errno: expect.stringMatching(/^E(MFILE|NFILE)$/) as string },
    });
  }
  expect(await readdir(join(stateDir, 'jobs'))).toEqual(files);
  const second = await createInMemoryRuntime({ stateDir });
  expect((await second.listVms()).map(({ vmId }) => vmId)).toEqual(['a', 'b']);
  expect(second.recovery.corruptSnapshots).toEqual([]);
  expect(await second.listSnapshots('a')).toEqual(snapshots);
  expect((await second.listJobs()).map(({ jobId }) => jobId)).toEqual(expect.arrayContaining(jobs));
  await second.close();
});
