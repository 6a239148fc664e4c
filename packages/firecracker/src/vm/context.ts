import type { OwnerDeathWatcher, VmTable } from '@microvm/driver-kit';
import type { DriverEvents } from '@microvm/runtime';
import type { Cgroups } from '../host/cgroups.js';
import type { FirecrackerHost } from '../host/firecracker-host.js';
import type { SharedFiles } from '../host/shared-files.js';
import type { LiveVm } from './live-vm.js';
import type { MetricsLedgers } from '../metrics/metrics-ledgers.js';

/** What the operations on VMs share. */
export interface FirecrackerContext {
  readonly host: FirecrackerHost;
  readonly stateDir: string;
  readonly cgroups: Cgroups;
  readonly table: VmTable<LiveVm>;
  readonly ownerDeath: OwnerDeathWatcher;
  readonly sharedFiles: SharedFiles;
  readonly metrics: MetricsLedgers;
  readonly events: DriverEvents;
}

/** Reports the end of a life from now on, unless the engine asks for it first. */
export function reportEnd({ events }: FirecrackerContext, live: LiveVm): void {
  live.onUnaskedEnd((ending) => events.ended(live.instanceId, ending));
}
