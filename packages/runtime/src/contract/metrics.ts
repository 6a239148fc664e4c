import type { VmState } from './states.js';

/** The VMM's own metrics, by the VMM's names, in its units. */
export interface VmmMetrics {
  /** Totals since the VM was made, over all its lives and owners: they only grow. */
  readonly counters: Readonly<Record<string, number>>;
  /** Values as they were last told: latencies, extremes, times. */
  readonly gauges: Readonly<Record<string, number>>;
}

/**
 * The kernel's metrics of a VM's cgroup, in this life of the VM. A part is absent where its controller is
 * absent.
 */
export interface CgroupMetrics {
  /** cpu.stat, in microseconds. */
  readonly cpu?: { readonly usageUs: number; readonly userUs: number; readonly systemUs: number };
  /** memory.current, memory.peak (Linux 5.19), and `oom_kill` of memory.events. */
  readonly memory?: {
    readonly currentBytes: number;
    readonly peakBytes?: number;
    readonly oomKillCount: number;
  };
  /** pids.current. */
  readonly pids?: { readonly current: number };
  /** io.stat, over all disks. */
  readonly io?: {
    readonly readBytes: number;
    readonly writeBytes: number;
    readonly readCount: number;
    readonly writeCount: number;
  };
}

/** The kernel's metrics of the VMM's process (proc(5)), in this life of the VM. */
export interface ProcessMetrics {
  readonly residentBytes: number;
  readonly userUs: number;
  readonly systemUs: number;
  readonly threadCount: number;
  /** Absent where we may not look. */
  readonly openFileCount?: number;
}

/** The metrics of a VM that a driver has. */
export interface DriverMetrics {
  readonly vmm: VmmMetrics;
  /** Absent for a VM without a cgroup. */
  readonly cgroup?: CgroupMetrics;
  /** Absent without a process. */
  readonly process?: ProcessMetrics;
}

/** A VM in figures, as they are now. docs/metrics.md says what each driver has. */
export interface VmMetrics extends DriverMetrics {
  readonly vmId: string;
  readonly instanceId: string;
  readonly state: VmState;
}
