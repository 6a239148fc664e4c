import { GUEST_ENDINGS, outputOf, startCounter } from '@microvm/conformance/linux-guest';
import { createQemuRuntime } from '../src/index.js';
import { imageDefaults } from './factory.js';

/** Stands for an owner that will be killed: makes VMs, says that they are there, and waits for its end. */
process.once('message', (stateDir: string) => void own(stateDir));

async function own(stateDir: string): Promise<void> {
  const runtime = await createQemuRuntime({ stateDir, defaults: await imageDefaults() });
  await runtime.createVm('running');
  await runtime.startVm('running');
  await startCounter(await runtime.guest('running'));
  await runtime.snapshotVm('running', 'here');
  const restoreFrom = { vmId: 'running', snapshotId: 'here' };
  await runtime.createVmWithSpec('paused', { restoreFrom, resumeImmediately: false });
  await runtime.createVmWithSpec('owned', { restoreFrom, onOwnerDeath: 'destroy' });
  for (const vmId of Object.keys(GUEST_ENDINGS)) {
    await runtime.createVmWithSpec(vmId, { restoreFrom, onGuestReboot: 'stop' });
  }
  // They end when nobody looks.
  for (const [vmId, command] of Object.entries(GUEST_ENDINGS)) {
    await outputOf(await runtime.guest(vmId), `(sleep 3; ${command}) > /dev/null 2>&1 < /dev/null &`);
  }
  const views = await runtime.listVms();
  process.send?.(
    Object.fromEntries(views.map(({ vmId, instanceId, vmm }) => [vmId, { instanceId, pid: vmm?.pid }])),
  );
  setInterval(() => undefined, 60_000);
}
