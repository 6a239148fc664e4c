import type { VmTable } from '@microvm/driver-kit';
import type { HostFacts } from '../host/host-facts.js';
import type { LiveVm } from './live-vm.js';

/** What the operations on VMs share. */
export interface QemuContext {
  readonly hostFacts: HostFacts;
  readonly table: VmTable<LiveVm>;
  /** How long a boot under emulation may show no sign of life, in milliseconds. */
  readonly bootSilenceMs: number;
}
