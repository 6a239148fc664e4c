import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withFewDescriptors } from '@microvm/conformance';
import type { RecoveryReport } from '@microvm/runtime';
import { expect, it, onTestFinished } from 'vitest';
import { openDoubles } from './doubles.js';

const CHILD = {
  path: fileURLToPath(new URL('few-descriptors-child.ts', import.meta.url)),
  execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
};

it.each([true, false])(
  'an open without enough descriptors never gives up a VM that lives; jail: %s',
  async (jail) => {
    const folder = await mkdtemp(join(tmpdir(), 'fc-few-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const stateDir = join(folder, 'state');
    const first = await openDoubles({ stateDir });
    await first.createVmWithSpec('a', { jail });
    const { vmm } = await first.startVm('a');
    await first.close();
    const { failures, result } = await withFewDescriptors<RecoveryReport>(CHILD, [stateDir]);
    expect(failures.length).toBeGreaterThan(3);
    for (const { error } of failures)
      expect(error).toMatchObject({ code: 'MICROVM_HOST_FAILURE', retryable: true });
    expect(result).toMatchObject({ adopted: [{ vmId: 'a', state: 'running' }], ended: [] });
    const last = await openDoubles({ stateDir });
    expect(await last.pauseVm('a')).toMatchObject({ state: 'paused', vmm });
  },
);
