import type { VmTable } from '@microvm/driver-kit';
import type { Cgroups } from '../host/cgroups.js';
import type { HostFacts } from '../host/host-facts.js';
import type { MetricsLedgers } from '../metrics/metrics-ledgers.js';
import type { LiveVm } from './live-vm.js';

/** What the operations on VMs share. */
export interface FirecrackerContext {
  readonly hostFacts: HostFacts;
  readonly stateDir: string;
  readonly cgroups: Cgroups;
  readonly table: VmTable<LiveVm>;
  readonly metrics: MetricsLedgers;
}
