import { join } from 'node:path';
import {
  checkParts,
  diskParts,
  folderOf,
  incompatibleSnapshot,
  planDrives,
  type VmTable,
} from '@microvm/driver-kit';
import type { ResolvedVmSpec, RestoreSource, Run } from '@microvm/runtime';
import type { MinimalVm } from '../host/vm-plan.js';
import { launch } from './boot.js';
import { MEMORY_PART, VMM_VERSION } from './capture.js';
import type { LiveVm } from './live-vm.js';

const MAX_MEMORY_BYTES = 1024 * 1024;

/**
 * Refuses a snapshot that has not the files of one, or that this VMM would not load, before any process
 * starts.
 */
export function checkSnapshot(source: RestoreSource, spec: ResolvedVmSpec): void {
  if (source.memory && source.vmmVersion !== VMM_VERSION) {
    throw incompatibleSnapshot(source, `taken with ${source.vmmVersion}, this is ${VMM_VERSION}`);
  }
  const memory = { name: MEMORY_PART, role: 'memory', size: { maxSizeBytes: MAX_MEMORY_BYTES } } as const;
  checkParts(source, [...(source.memory ? [memory] : []), ...diskParts(planDrives(spec))]);
}

/**
 * Gives a VM whose disks are there, for a snapshot with memory, a VMM that has loaded it and stands still.
 */
export async function restoreVm(
  table: VmTable<LiveVm>,
  vm: MinimalVm,
  source: RestoreSource,
  run: Run,
): Promise<LiveVm | undefined> {
  if (!source.memory) return undefined;
  const live = await launch(table, vm, join(folderOf(source), MEMORY_PART), run);
  await run.step('restore:spawned');
  await live.state({ signal: run.signal });
  await run.step('restore:loaded');
  return live;
}
