import { minimalFactory } from './factory.js';

/** Stands for an owner that will be killed: makes VMs that must not outlive it, and says what they are. */
process.once('message', (stateDir: string) => void own(stateDir));

async function own(stateDir: string): Promise<void> {
  const runtime = await minimalFactory.open({ stateDir, defaults: { onOwnerDeath: 'destroy' } });
  await runtime.createVm('running');
  await runtime.createVm('created');
  await runtime.createVmWithSpec('kept', { onOwnerDeath: 'keep' });
  const { vmm } = await runtime.startVm('running');
  process.send?.(vmm);
  setInterval(() => undefined, 60_000);
}
