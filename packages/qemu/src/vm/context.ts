import type { OwnerDeathWatcher, VmTable } from '@microvm/driver-kit';
import type { DriverEvents } from '@microvm/runtime';
import type { QemuHost } from '../host/qemu-host.js';
import type { LiveVm } from './live-vm.js';

/** What the operations on VMs share. */
export interface QemuContext {
  readonly host: QemuHost;
  readonly table: VmTable<LiveVm>;
  readonly ownerDeath: OwnerDeathWatcher;
  readonly events: DriverEvents;
  /** How long a boot under emulation may show no sign of life, in milliseconds. */
  readonly bootSilenceMs: number;
}

/** Reports the end of a life from now on, unless the engine asks for it first. */
export function reportEnd(context: QemuContext, live: LiveVm): void {
  live.onUnaskedEnd((ending) => context.events.ended(live.instanceId, ending));
}
