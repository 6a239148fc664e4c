import { fileURLToPath } from 'node:url';
import { warningsInWorker } from '@microvm/conformance';
import { expect, it } from 'vitest';

it('a VM lives in a worker without a warning of Node', async () => {
  const path = fileURLToPath(new URL('worker-owner.mjs', import.meta.url));
  expect(await warningsInWorker({ path, execArgv: ['--conditions=@microvm/source'] })).toEqual([]);
});
