import { join } from 'node:path';
import { folderOf } from '@microvm/driver-kit';
import type { RestoreSource, Run } from '@microvm/runtime';
import type { SnapshotLoad } from '../api/wire.js';
import { VMM_FILES } from '../host/paths.js';
import { afterRestore } from './configuration.js';
import { launchConfigured } from './configure.js';
import type { FirecrackerContext } from './context.js';
import type { FirecrackerVm } from './firecracker-vm.js';
import { launch } from './launch.js';
import type { LiveVm } from './live-vm.js';
import { PARTS } from './snapshot-parts.js';

const LOAD_TIMEOUT_MS = 60_000;

/**
 * Gives a VM whose disks are there, for a snapshot with memory, a Firecracker that has loaded it and stands
 * still; for one without, a Firecracker that is configured for a cold boot. Memory is mapped from the
 * snapshot's own file, privately: it loads as it is used.
 */
export async function restoreVm(
  context: FirecrackerContext,
  vm: FirecrackerVm,
  source: RestoreSource,
  run: Run,
): Promise<LiveVm> {
  if (!source.memory) return launchConfigured(context, vm, 'restore', run);
  const from = folderOf(source);
  const snapshot = { state: join(from, PARTS.state), memory: join(from, PARTS.memory) };
  const live = await launch(context, vm, { method: 'restore', snapshot }, run);
  await live.load(loadBody(vm, source), { signal: run.signal, timeoutMs: LOAD_TIMEOUT_MS });
  await live.requestAll(afterRestore(vm.spec), { signal: run.signal });
  await run.step('restore:loaded');
  return live;
}

function loadBody(
  vm: FirecrackerVm,
  { networkOverrides }: RestoreSource,
): SnapshotLoad & { resume_vm: false } {
  const overrides = networkOverrides.flatMap(({ ifaceId, hostDevName }) =>
    hostDevName === undefined ? [] : [{ iface_id: ifaceId, host_dev_name: hostDevName }],
  );
  return {
    snapshot_path: VMM_FILES.loadedState,
    mem_backend: { backend_type: 'File', backend_path: VMM_FILES.loadedMemory },
    resume_vm: false,
    ...(vm.spec.trackDirtyPages === true ? { track_dirty_pages: true } : {}),
    ...(overrides.length === 0 ? {} : { network_overrides: overrides }),
  };
}
