import type { Capabilities } from './capabilities.js';
import type { VmEvent } from './events.js';
import type { Guest } from './guest.js';
import type { HostReport } from './host-report.js';
import type { VmMetrics } from './metrics.js';
import type { ConsoleOptions, EventsOptions, JobFilter, MetricsOptions } from './options.js';
import { VmProvider, type SnapshotRef } from './provider.js';
import type { VmQuery } from './query.js';
import type { InterruptedOutcome, JobKind, JobView, SnapshotView, VmView } from './views.js';
import type { VmState } from './states.js';

/** What opening a state directory found and did. */
export interface RecoveryReport {
  /** Living VMs that this process took over. */
  readonly adopted: readonly {
    readonly vmId: string;
    readonly instanceId: string;
    readonly state: VmState;
  }[];
  /** VMs that were live when last seen and are not any more. */
  readonly ended: readonly { readonly vmId: string; readonly instanceId: string; readonly state: VmState }[];
  /** Jobs that were running when the last owner died. */
  readonly interrupted: readonly {
    readonly jobId: string;
    readonly kind: JobKind;
    readonly vmId: string;
    readonly outcome: InterruptedOutcome;
    /** The VM's state now; absent when it is gone, as after an undone create. */
    readonly state?: VmState;
  }[];
  /** Left-overs that nothing owned: removed. */
  readonly swept: readonly string[];
  /** Snapshots whose manifest cannot be read; they stay for `deleteSnapshot` by uid. */
  readonly corruptSnapshots: readonly { readonly snapshotUid: string; readonly problem: string }[];
}

/** Everything one host's VMs can do: the object that runners and query services share. */
export abstract class VmRuntime extends VmProvider implements VmQuery {
  abstract readonly capabilities: Capabilities;
  /** What opening found; empty for a new or volatile state. */
  abstract readonly recovery: RecoveryReport;

  abstract listVms(): Promise<readonly VmView[]>;
  abstract getVm(vmId: string): Promise<VmView | undefined>;
  abstract listSnapshots(vmId: string): Promise<readonly SnapshotView[] | undefined>;
  abstract describeSnapshot(snapshot: SnapshotRef): Promise<SnapshotView | undefined>;
  abstract metricsVm(vmId: string, options?: MetricsOptions): Promise<VmMetrics | undefined>;
  abstract listJobs(filter?: JobFilter): Promise<readonly JobView[]>;
  abstract getJob(jobId: string): Promise<JobView | undefined>;

  /**
   * Cancels a queued or running job, whose caller gets `MICROVM_CANCELLED`; resolves with the job once it ended. A job that
   * ended already is returned as it is. Errors: JOB_NOT_FOUND.
   */
  abstract cancelJob(jobId: string): Promise<JobView>;

  /** Can VMs run on this host, and if not, why not. */
  abstract probe(): Promise<HostReport>;

  /**
   * What happens from now on. A slow reader gets a `lagged` event instead of unbounded memory. Ends at `close()`. While a reader waits,
   * Node's event loop goes on; VMs alone do not keep it.
   */
  abstract events(options?: EventsOptions): AsyncIterable<VmEvent>;

  /** The agent in a running guest. Errors: VM_NOT_FOUND, INVALID_TRANSITION, UNSUPPORTED, GUEST_UNREACHABLE. */
  abstract guest(vmId: string): Promise<Guest>;

  /** The guest's serial output, also after its death. Errors: VM_NOT_FOUND, UNSUPPORTED. */
  abstract consoleVm(vmId: string, options?: ConsoleOptions): AsyncIterable<Buffer>;

  /**
   * Refuses new calls, waits for those in flight, then lets go of the VMs: with `onOwnerDeath: 'keep'` they run on for the next
   * owner of the state directory, with `'destroy'` they are destroyed. Idempotent.
   */
  abstract close(): Promise<void>;

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
