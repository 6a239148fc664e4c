import type { SecretView } from './secrets.js';
import type { ResolvedVmSpec } from './spec.js';
import type { VmState } from './states.js';
import type { JobKind } from './verbs.js';

/**
 * Why a guest or its VMM ended. `exitCode` is null after a signal, `unknown` for a process that was adopted.
 */
export interface VmEnding {
  /**
   * `power-off`, `reboot`, `panic`: the guest's own doing. `shutdown`: asked for by `stopVm`, and the guest
   * flushed. `killed`: by force, by `stopVm`. `vmm-exit`: the VMM ended without a word from the guest.
   * `lost`: it ended while no process of ours watched. `unresponsive`: its driver did not answer, even to be
   * undone.
   */
  readonly reason:
    'power-off' | 'reboot' | 'panic' | 'shutdown' | 'killed' | 'vmm-exit' | 'lost' | 'unresponsive';
  readonly exitCode: number | null | 'unknown';
  readonly signal: string | null;
  /** The end of the VMM's log and of the console, oldest first. */
  readonly lastLogLines: readonly string[];
}

/** A process that a pid alone does not name: pids are used again. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/pid/stat, in clock ticks since boot. */
  readonly startTime: string;
  /** /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
}

export type JobStatus = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'interrupted';

/** How far long work has come. */
export interface JobProgress {
  /** Such as `memory`, `disks`, `digest`, `boot`. */
  readonly step: string;
  readonly done: number;
  /** Absent where the end is not known. */
  readonly total?: number;
  readonly unit: 'bytes' | 'steps';
}

/** A lifecycle job as it is now. Times are ISO 8601 in UTC. */
export interface JobView {
  readonly jobId: string;
  readonly kind: JobKind;
  /** The VM's id when the job was asked for; absent for jobs on snapshots. */
  readonly vmId?: string;
  readonly status: JobStatus;
  readonly idempotencyKey?: string;
  readonly queuedAt: string;
  readonly startedAt?: string;
  readonly endedAt?: string;
  readonly progress?: JobProgress;
  /** For `failed` and `cancelled`: the error's code (`ABORT` for a caller's own abort) and message. */
  readonly error?: { readonly code: string; readonly message: string };
  /** For `interrupted`: what became of the VM when the state directory was opened again. */
  readonly outcome?: InterruptedOutcome;
}

/**
 * `undone`: as if never asked. `carried-through`: done after all. `as-found`: the VMM was asked what is true.
 */
export type InterruptedOutcome = 'undone' | 'carried-through' | 'as-found';

/** A snapshot as the catalogue has it. */
export interface SnapshotView {
  /** Its immutable name: 32 hex digits. */
  readonly snapshotUid: string;
  /** The caller's name, unique among the snapshots of its VM. */
  readonly snapshotId: string;
  /** The VM it was taken of; it outlives that VM. */
  readonly instanceId: string;
  /** `memory`: memory and disks at one moment. `disk`: disks only. */
  readonly kind: 'memory' | 'disk';
  readonly createdAt: string;
  /** What its files take, in bytes, holes not counted as far as the file system tells. */
  readonly sizeBytes: number;
  /** How long the guest stood still for it, in milliseconds; 0 for one that was not running. */
  readonly pausedMs: number;
  /** How the disks were copied; `none` where there are none. */
  readonly diskCopy: 'reflink' | 'copy' | 'none';
  readonly driver: string;
  readonly vmmVersion: string;
}

/** A VM as it is now. Times are ISO 8601 in UTC. */
export interface VmView {
  readonly vmId: string;
  /** Immutable, made at create, never used again. */
  readonly instanceId: string;
  readonly state: VmState;
  /** The job that is at work on the VM. */
  readonly operation?: { readonly jobId: string; readonly kind: JobKind; readonly startedAt: string };
  readonly spec: ResolvedVmSpec;
  readonly createdAt: string;
  /** When `state` changed last. */
  readonly changedAt: string;
  /** The image that it was made from: the name as it was given, and what that stood for at create. */
  readonly image?: { readonly name: string; readonly digest: string };
  /** Names of the VM's secrets, never values. */
  readonly secrets: readonly SecretView[];
  /** In creation order. */
  readonly snapshots: readonly SnapshotView[];
  /** `snapshotUid` it was restored from. */
  readonly restoredFrom?: string;
  /** For stopped and crashed VMs: how it ended. */
  readonly ending?: VmEnding;
  /** For stopped VMs: whether the guest flushed before its end. */
  readonly stop?: 'graceful' | 'forced';
  /** What a `destroyVm` could not remove. */
  readonly cleanup?: { readonly left: readonly string[] };
  /** The VMM's process, while there is one. */
  readonly vmm?: ProcessIdentity;
}
