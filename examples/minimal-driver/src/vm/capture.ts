import { join } from 'node:path';
import { captureDisks, folderOf, privateDrives, type VmTable } from '@microvm/driver-kit';
import type { Captured, CaptureTarget, Run, SnapshotPart } from '@microvm/runtime';
import type { MinimalVm } from '../host/vm-plan.js';
import type { LiveVm } from './live-vm.js';

/** The name of a snapshot's memory in the snapshot's folder. */
export const MEMORY_PART = 'memory';
export const VMM_VERSION = '1.0';

/** Writes a snapshot's files. With memory the VM is paused, and stays so. */
export async function captureVm(
  table: VmTable<LiveVm>,
  vm: MinimalVm,
  target: CaptureTarget,
  run: Run,
): Promise<Captured> {
  const directory = folderOf(target);
  const parts: SnapshotPart[] = [];
  if (target.memory) {
    const body = { path: join(directory, MEMORY_PART) };
    await table.liveOf(vm).request('PUT', '/snapshot', { body, signal: run.signal });
    parts.push({ name: MEMORY_PART, role: 'memory' });
    await run.step('capture:memory');
  }
  const disks = { drives: vm.plan.drives, folder: vm.directory };
  const diskCopy = await captureDisks(vm, disks, directory, run);
  await run.step('capture:disks');
  parts.push(
    ...privateDrives(vm.plan.drives).map(({ part }): SnapshotPart => ({ name: part, role: 'disk' })),
  );
  return { parts, diskCopy, vmmVersion: VMM_VERSION, compatibility: {} };
}
