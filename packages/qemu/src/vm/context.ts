import assert from 'node:assert';
import { VmRuntimeError, type DriverEvents, type DriverVm } from '@microvm/runtime';
import type { QemuHost } from '../host/qemu-host.js';
import type { OwnerDeathWatcher } from '../process/owner-death-watcher.js';
import type { LiveVm } from './live-vm.js';
import type { VmTable } from './vm-table.js';

/** What the operations on VMs share. */
export interface QemuContext {
  readonly host: QemuHost;
  readonly table: VmTable;
  readonly ownerDeath: OwnerDeathWatcher;
  readonly events: DriverEvents;
  /** How long a boot under emulation may show no sign of life, in milliseconds. */
  readonly bootSilenceMs: number;
}

export function folderOf(vm: Pick<DriverVm, 'directory'>): string {
  assert(vm.directory !== undefined, 'the QEMU driver needs a state directory');
  return vm.directory;
}

/** The life of a VM that the engine holds to be live. */
export function liveOf(context: QemuContext, vm: DriverVm): LiveVm {
  const live = context.table.get(vm.instanceId);
  if (live !== undefined) return live;
  throw new VmRuntimeError('MICROVM_VMM_EXITED', `QEMU of "${vm.vmId}" is not there`, {
    details: { exitCode: 'unknown', signal: null, lastLogLines: [] },
  });
}

/** Reports the end of a life from now on, unless the engine asks for it first. */
export function reportEnd(context: QemuContext, live: LiveVm): void {
  live.onUnaskedEnd((ending) => context.events.ended(live.instanceId, ending));
}
