import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { warningsInWorker } from '@microvm/conformance';
import { expect, it, onTestFinished } from 'vitest';

const MODULE = {
  path: fileURLToPath(new URL('worker-owner.mjs', import.meta.url)),
  execArgv: ['--conditions=@microvm/source'],
};

it('a VM lives in a worker without a warning of Node', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'microvm-worker-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  expect(await warningsInWorker(MODULE, join(folder, 'state'))).toEqual([]);
});
