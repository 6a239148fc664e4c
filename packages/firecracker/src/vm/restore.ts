import { chown } from 'node:fs/promises';
import { join } from 'node:path';
import { folderOf, privateDrives, restoreDisks } from '@microvm/driver-kit';
import type { DriverVm, RestoreSource, Run, VmmInfo } from '@microvm/runtime';
import type { SnapshotLoad } from '../api/wire.js';
import { VMM_FILES } from '../host/paths.js';
import { readPlan, type VmPlan } from '../host/vm-plan.js';
import { PARTS } from './capture.js';
import { afterRestore } from './configuration.js';
import { launchConfigured } from './configure.js';
import { reportEnd, type FirecrackerContext } from './context.js';
import { launch } from './launch.js';

const LOAD_TIMEOUT_MS = 60_000;

/**
 * Gives a VM the disks of a snapshot and, with memory, a Firecracker that has loaded its state and stands still; without, one that is
 * configured for a cold boot. Memory is mapped from the snapshot's own file, privately: it loads as it is used.
 */
export async function restoreVm(
  context: FirecrackerContext,
  vm: DriverVm,
  source: RestoreSource,
  run: Run,
): Promise<VmmInfo> {
  const from = folderOf(source);
  const plan = readPlan(vm.plan);
  await restoreDisks(plan.drives, from, folderOf(vm), run);
  await giveDisks(plan, folderOf(vm));
  await run.step('restore:disks');
  if (!source.memory) return { vmm: (await launchConfigured(context, vm, 'prepare', run)).identity };
  const snapshot = { state: join(from, PARTS.state), memory: join(from, PARTS.memory) };
  const live = await launch(context, vm, { method: 'restore', snapshot }, run);
  await live.load(loadBody(vm, source), { signal: run.signal, timeoutMs: LOAD_TIMEOUT_MS });
  await live.requestAll(afterRestore(vm.spec), { signal: run.signal });
  await run.step('restore:loaded');
  reportEnd(context, live);
  return { vmm: live.identity };
}

function loadBody(vm: DriverVm, { networkOverrides }: RestoreSource): SnapshotLoad & { resume_vm: false } {
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

/** Makes a jailed VMM's user the owner of the VM's own disks: new files, which nobody else has a link to. */
export async function giveDisks({ uid, drives }: VmPlan, directory: string): Promise<void> {
  if (uid === null) return;
  await Promise.all(privateDrives(drives).map(({ file }) => chown(join(directory, file), uid, uid)));
}
