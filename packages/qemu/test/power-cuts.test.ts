import { describePowerCuts } from '@microvm/conformance';
import { bundleScript, PowerLab } from '@microvm/volatile-disk';
import { qemuFactory } from './factory.js';

const child = new URL('./power-cut-child.ts', import.meta.url);

// What the real VMM writes itself: the files of a VM, and those of a snapshot. The engine's own writes are
// the same under each driver.
describePowerCuts('qemu', qemuFactory, {
  lab: PowerLab,
  childModule: { path: await bundleScript(child, new URL('../build/', import.meta.url)) },
  // Each cut boots real guests, which are emulated: a quarter would take the gate a minute and a half.
  turns: 12,
  isWanted: ({ kind }) => kind === 'createVm' || kind === 'snapshotVm',
});
