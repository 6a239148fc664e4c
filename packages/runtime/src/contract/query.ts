import type { VmMetrics } from './metrics.js';
import type { JobFilter, MetricsOptions } from './options.js';
import type { SnapshotRef } from './provider.js';
import type { JobView, SnapshotView, VmView } from './views.js';

/** Reads what is true now. An unknown id answers undefined, not an error; a malformed one is `MICROVM_INVALID_ARGUMENT`. */
export interface VmQuery {
  /** Every VM, tombstones too, sorted by id (by UTF-16 code units). */
  listVms(): Promise<readonly VmView[]>;
  getVm(vmId: string): Promise<VmView | undefined>;
  /** A VM's snapshots in creation order; undefined for an unknown VM. */
  listSnapshots(vmId: string): Promise<readonly SnapshotView[] | undefined>;
  /** A snapshot, also one whose VM is gone. */
  describeSnapshot(snapshot: SnapshotRef): Promise<SnapshotView | undefined>;
  /**
   * A VM in figures: its VMM's totals, its cgroup, its process. Asks a living VMM for its latest, in bounded time: one that does not answer is told of
   * by what it said last. Undefined for an unknown VM, bare for a destroyed one. Errors: UNSUPPORTED.
   */
  metricsVm(vmId: string, options?: MetricsOptions): Promise<VmMetrics | undefined>;
  /** Jobs that are queued, running, or still in the bounded history, in the order they were asked for. */
  listJobs(filter?: JobFilter): Promise<readonly JobView[]>;
  getJob(jobId: string): Promise<JobView | undefined>;
}
