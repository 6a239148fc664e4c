import { join } from 'node:path';
import { folderOf, incompatibleSnapshot, restoreDisks, type VmTable } from '@microvm/driver-kit';
import { unsupported, type RestoreSource, type Run } from '@microvm/runtime';
import type { MinimalVm } from '../host/vm-plan.js';
import { launch } from './boot.js';
import { MEMORY_PART, VMM_VERSION } from './capture.js';
import type { LiveVm } from './live-vm.js';

/** Refuses a snapshot that this VMM would not load, before any process starts. */
export async function checkSnapshot(source: RestoreSource): Promise<void> {
  if (source.networkOverrides.length > 0) throw unsupported('spec.networkOverrides');
  if (!source.memory || source.vmmVersion === VMM_VERSION) return;
  throw incompatibleSnapshot(source, `taken with ${source.vmmVersion}, this is ${VMM_VERSION}`);
}

/** Gives a VM the disks of a snapshot and, with memory, a VMM that has loaded it and stands still. */
export async function restoreVm(
  table: VmTable<LiveVm>,
  vm: MinimalVm,
  source: RestoreSource,
  run: Run,
): Promise<LiveVm | undefined> {
  const from = folderOf(source);
  await restoreDisks(vm.plan.drives, from, vm.directory, run);
  await run.step('restore:disks');
  if (!source.memory) return undefined;
  const live = await launch(table, vm, join(from, MEMORY_PART), run);
  await run.step('restore:spawned');
  await live.state({ signal: run.signal });
  await run.step('restore:loaded');
  return live;
}
