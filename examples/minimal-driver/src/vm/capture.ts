import { join } from 'node:path';
import { folderOf, type VmTable } from '@microvm/driver-kit';
import type { Captured, CaptureTarget, Run } from '@microvm/runtime';
import type { MinimalVm } from '../host/vm-plan.js';
import type { LiveVm } from './live-vm.js';

/** The name of a snapshot's memory in the snapshot's folder. */
export const MEMORY_PART = 'memory';
export const VMM_VERSION = '1.0';

/** Writes a snapshot's files but the disks. With memory the VM is paused, and stays so. */
export async function captureVm(
  table: VmTable<LiveVm>,
  vm: MinimalVm,
  target: CaptureTarget,
  run: Run,
): Promise<Omit<Captured, 'diskCopy'>> {
  const captured = { parts: [], vmmVersion: VMM_VERSION, compatibility: {} };
  if (!target.memory) return captured;
  const body = { path: join(folderOf(target), MEMORY_PART) };
  await table.liveOf(vm).request('PUT', '/snapshot', { body, signal: run.signal });
  await run.step('capture:memory');
  return { ...captured, parts: [{ name: MEMORY_PART, role: 'memory' }] };
}
