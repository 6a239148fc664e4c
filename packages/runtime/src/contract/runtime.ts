import type { Capabilities } from './capabilities.js';
import type { VmEvent } from './events.js';
import type { Guest } from './guest.js';
import type { HostReport } from './host-report.js';
import type { VmMetrics } from './metrics.js';
import type { ConsoleOptions, EventsOptions, JobFilter, MetricsOptions } from './options.js';
import { VmProvider } from './provider.js';
import type { VmState } from './states.js';
import type { JobKind, SnapshotRef, VerbAnswer, VerbCall, VerbName } from './verbs.js';
import type { InterruptedOutcome, JobView, SnapshotView, VmView } from './views.js';

/** What became of left-overs that nothing owned. */
export interface Sweep {
  /** What was removed. */
  readonly swept: readonly string[];
  /**
   * What could not be removed, with what was in the way. It keeps nobody from opening; the next open tries
   * again.
   */
  readonly notSwept: readonly { readonly what: string; readonly problem: string }[];
}

/** The sweep that found no left-over. */
export const NOTHING_SWEPT: Sweep = { swept: [], notSwept: [] };

/** What opening a state directory found and did. */
export interface RecoveryReport extends Sweep {
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
  /** Snapshots whose manifest cannot be read; they stay for `deleteSnapshot` by uid. */
  readonly corruptSnapshots: readonly { readonly snapshotUid: string; readonly problem: string }[];
}

/** Everything one host's VMs can do: the object that runners and query services share. */
export abstract class VmRuntime extends VmProvider {
  abstract readonly capabilities: Capabilities;
  /** What opening found; empty for a new or volatile state. */
  abstract readonly recovery: RecoveryReport;

  /**
   * Does what the method of the verb's name does, for a call that came as data: from another process, or out
   * of a queue. Errors: those of the method; INVALID_ARGUMENT for a verb that does not exist and for
   * arguments that it does not take.
   */
  abstract dispatch<V extends VerbName>(call: VerbCall<V>): Promise<VerbAnswer<V>>;

  /** Every VM, tombstones too, sorted by id (by UTF-16 code units). */
  abstract listVms(): Promise<readonly VmView[]>;

  /**
   * A VM; undefined for an unknown id, as in all queries. Errors: INVALID_ARGUMENT for an id that no VM can
   * have, as in all queries.
   */
  abstract getVm(vmId: string): Promise<VmView | undefined>;

  /**
   * Every snapshot in creation order, also of destroyed and forgotten VMs: `sizeBytes` says what each takes.
   */
  abstract listSnapshots(): Promise<readonly SnapshotView[]>;
  /** A VM's snapshots in creation order; undefined for an unknown VM. */
  abstract listSnapshots(vmId: string): Promise<readonly SnapshotView[] | undefined>;

  /** A snapshot, also one whose VM is gone. */
  abstract describeSnapshot(snapshot: SnapshotRef): Promise<SnapshotView | undefined>;

  /**
   * A VM's metrics: its VMM's totals, its cgroup, its process. Asks a living VMM for its latest, in bounded
   * time; if the VMM does not answer, its last metrics are returned. Undefined for an unknown VM, bare for a
   * destroyed one. Errors: UNSUPPORTED.
   */
  abstract metricsVm(vmId: string, options?: MetricsOptions): Promise<VmMetrics | undefined>;

  /** Jobs that are queued, running, or still in the bounded history, in the order they were asked for. */
  abstract listJobs(filter?: JobFilter): Promise<readonly JobView[]>;

  abstract getJob(jobId: string): Promise<JobView | undefined>;

  /**
   * Cancels a queued or running job, whose caller gets `MICROVM_CANCELLED`; resolves with the job once it
   * ended. A job that ended already is returned as it is. Errors: JOB_NOT_FOUND.
   */
  abstract cancelJob(jobId: string): Promise<JobView>;

  /** Can VMs run on this host, and if not, why not. */
  abstract probe(): Promise<HostReport>;

  /**
   * What happens from now on. A slow reader gets a `lagged` event instead of unbounded memory. Ends at
   * `close()`. While a reader waits, Node's event loop goes on; VMs alone do not keep it.
   */
  abstract events(options?: EventsOptions): AsyncIterable<VmEvent>;

  /**
   * The agent in a running guest. Errors: VM_NOT_FOUND, INVALID_TRANSITION, UNSUPPORTED, GUEST_UNREACHABLE.
   */
  abstract guest(vmId: string): Promise<Guest>;

  /** The guest's serial output, also after its death. Errors: VM_NOT_FOUND, UNSUPPORTED. */
  abstract consoleVm(vmId: string, options?: ConsoleOptions): AsyncIterable<Buffer>;

  /**
   * Refuses new calls, waits for those in flight, then lets go of the VMs: with `onOwnerDeath: 'keep'` they
   * run on for the next owner of the state directory, with `'destroy'` they are destroyed. Idempotent.
   */
  abstract close(): Promise<void>;

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The part of a runtime that only reads what is true now, for code that must not change anything. */
export type VmQuery = Pick<
  VmRuntime,
  'listVms' | 'getVm' | 'listSnapshots' | 'describeSnapshot' | 'metricsVm' | 'listJobs' | 'getJob'
>;
