import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkLifecycle, type LifecycleReal } from '@microvm/conformance';
import { endGuest, outputOf } from '@microvm/conformance/linux-guest';
import { expect, onTestFinished, test } from 'vitest';
import { qemuFactory } from './factory.js';

/** In memory: gone with a boot, kept by a snapshot. */
const TALLY = 'n=$(cat /run/tally 2> /dev/null || echo 0); n=$((n + 1)); echo $n > /run/tally; echo $n';

async function openReal(stateDir: string): Promise<LifecycleReal> {
  const runtime = await qemuFactory.open({ stateDir });
  return {
    runtime,
    endGuest: (vmId, how) => endGuest(runtime, vmId, how),
    count: async (vmId) => Number(await outputOf(await runtime.guest(vmId), TALLY)),
  };
}

test('random calls end as the model says', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'qemu-model-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  let opened = 0;
  const open = (): Promise<LifecycleReal> => openReal(join(folder, String(opened++)));
  // Few and short, as each may boot: in memory the same is done by the thousand.
  await checkLifecycle(open, { runs: 5, maxCommands: 30, shrinks: false });
  expect(opened).toBe(5);
});
