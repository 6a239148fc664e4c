import type { Capabilities, SpecFeatures } from '../contract/capabilities.js';
import type { Environment } from '../contract/environment.js';
import type { Guest } from '../contract/guest.js';
import type { HostReport } from '../contract/host-report.js';
import type { DriverMetrics } from '../contract/metrics.js';
import type { ConsoleOptions } from '../contract/options.js';
import type { Sweep } from '../contract/runtime.js';
import type { ResolvedVmSpec, VmSpec } from '../contract/spec.js';
import type { JobProgress, ProcessIdentity, VmEnding } from '../contract/views.js';
import type { ImageConfig } from './images.js';

export type JsonValue =
  string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };
export type JsonObject = { readonly [key: string]: JsonValue };

/**
 * A VM by its name, for messages. A rename changes the name, so it is read when a message is made, and never
 * copied.
 */
export interface NamedVm {
  readonly vmId: string;
}

/**
 * A VM as a driver sees it. Host resources are named by `instanceId`; `vmId` is for messages only and may
 * change.
 */
export interface DriverVm extends NamedVm {
  readonly instanceId: string;
  readonly spec: ResolvedVmSpec;
  /** What `plan` answered for this VM; kept in its record. */
  readonly plan: JsonObject;
  /** The VM's own folder, made by the engine; undefined when the runtime has no state directory. */
  readonly directory: string | undefined;
  /** The VMM as last recorded. */
  readonly vmm: ProcessIdentity | undefined;
  /**
   * What the guest's agent must still be told; undefined: nothing. Read anew at each access. `boot` tells it
   * once the agent answers, `resume` before the workload goes on, `configure` at once.
   */
  readonly settings: GuestSettings | undefined;
}

/** What an agent gives to the commands of its guest. To be told the same again does no harm. */
export interface GuestSettings {
  /** The whole environment of the VM, in the place of the one that the agent has. */
  readonly env?: Environment;
  readonly secrets?: GuestSecrets;
  /** What the VM's image says of the commands in it; told once in each life of the guest. */
  readonly image?: ImageConfig;
}

/** The secrets that an agent shall have; it removes all others. */
export interface GuestSecrets {
  /** Names that the agent has already. */
  readonly keep: readonly string[];
  /** By name. */
  readonly give: ReadonlyMap<string, GuestSecret>;
}

/** To be handed on to the agent, and kept nowhere. */
export interface GuestSecret {
  readonly bytes: Buffer;
  /** Who may read it in the guest; empty: root. */
  readonly owner: string;
}

/** A VM that is to be planned. */
export interface PlanRequest extends Omit<DriverVm, 'plan' | 'vmm' | 'settings'> {
  /** The snapshot that its disks come from, if any. */
  readonly source: RestoreSource | undefined;
}

/** A VM that was made before this process began. */
export type KnownVm = Pick<DriverVm, 'instanceId' | 'plan'>;

/** What a driver method may use while it runs. */
export interface Run {
  /**
   * Aborted by the caller, by `cancelJob` or by the deadline. The method then undoes nothing that `halt` or
   * `release` undo, and rejects soon.
   */
  readonly signal: AbortSignal;
  progress(progress: JobProgress): void;
  /**
   * Marks a step: an effect was made whose loss a crash here would mean. Named `<method>:<step>`, listed in
   * the driver's `steps`. Tests kill the process in it.
   */
  step(name: string): Promise<void>;
}

/** One file of a snapshot, by its name in the snapshot's folder. */
export interface SnapshotPart {
  readonly name: string;
  readonly role: 'memory' | 'vmstate' | 'disk' | 'kernel' | 'initrd';
}

export interface Captured {
  readonly parts: readonly SnapshotPart[];
  readonly diskCopy: 'reflink' | 'copy' | 'none';
  readonly vmmVersion: string;
  /**
   * What a restore must find equal, or be told to be incompatible: CPU, machine type, devices. The driver's
   * own.
   */
  readonly compatibility: JsonObject;
}

export interface CaptureTarget {
  readonly snapshotUid: string;
  /**
   * An empty folder, published afterwards as it is; undefined when the runtime has no state directory: the
   * driver keeps the parts by uid.
   */
  readonly directory: string | undefined;
  /** The VM is paused and its memory belongs to the snapshot; else disks only. */
  readonly memory: boolean;
}

/** A file of a published snapshot. */
export interface StoredPart extends SnapshotPart {
  readonly sizeBytes: number;
}

export interface RestoreSource {
  readonly snapshotUid: string;
  readonly directory: string | undefined;
  readonly memory: boolean;
  readonly parts: readonly StoredPart[];
  readonly vmmVersion: string;
  readonly compatibility: JsonObject;
  readonly networkOverrides: NonNullable<VmSpec['networkOverrides']>;
}

/**
 * How `resume` comes about: after a pause the guest's clock is corrected, after a restore also its entropy
 * and identity.
 */
export type Resumption = 'pause' | 'restore';

/** How the engine asks for a VM's figures. */
export interface MetricsRequest {
  /** There is a guest: its VMM may be asked for its latest figures. */
  readonly isLive: boolean;
  readonly signal: AbortSignal | undefined;
}

export interface VmmInfo {
  /** Absent for a VM without a process, as in memory. */
  readonly vmm?: ProcessIdentity;
}

/** What an adopted VM turned out to be. */
export type Adoption =
  | { readonly state: 'running' | 'paused'; readonly vmm?: ProcessIdentity }
  | { readonly state: 'ended'; readonly ending: VmEnding };

/**
 * How a driver tells the engine what it did not ask for. Both may be called at any time, also during a
 * method.
 */
export interface DriverEvents {
  /**
   * The guest or its VMM ended by itself. Called once per life; not for an end that the engine asked for. The
   * VMM may still be there: the engine calls `halt`.
   */
  ended(instanceId: string, ending: VmEnding): void;
}

/**
 * What a driver says of itself. The rest of `Capabilities` follows from the feature objects that it has, so
 * that none is claimed without code.
 */
export interface DriverSupport {
  readonly rename?: boolean;
  /** Living VMs can be taken over by the next process; `adopt` does it. */
  readonly adoption?: boolean;
  readonly ownerDeathWatcher?: boolean;
  /** Fields of a spec that the driver takes. One that is absent is refused by the engine. */
  readonly spec?: Partial<SpecFeatures>;
  readonly limits: Capabilities['limits'];
}

/** Feature of a driver: a guest can be held and goes on. Memory snapshots need it. */
export interface DriverPausing {
  /** Freezes the workload and holds the CPUs: `paused`. Without effect on a VM that is paused. */
  pause(vm: DriverVm, run: Run): Promise<void>;
  /** `running` again, the guest repaired before its workload goes on. Without effect on a running VM. */
  resume(vm: DriverVm, how: Resumption, run: Run): Promise<void>;
}

/** Feature of a driver: snapshots. */
export interface DriverSnapshots {
  /** It takes and restores memory snapshots of paused VMs; needs `pausing`. */
  readonly memory: boolean;
  /** It takes and restores snapshots of the disks alone. */
  readonly disks: boolean;
  /** Any number of VMs restored from one snapshot live at once. */
  readonly concurrentRestores: boolean;
  readonly networkOverrides: boolean;
  /**
   * Refuses a capture that this VM does not allow, before any effect: `MICROVM_UNSUPPORTED`. Absent: each VM
   * allows it.
   */
  checkCapture?(vm: DriverVm, memory: boolean): void;
  /**
   * Writes the snapshot's files. With `memory` the VM is paused and stays so. The engine removes the folder
   * of one that fails.
   */
  capture(vm: DriverVm, target: CaptureTarget, run: Run): Promise<Captured>;
  /**
   * Refuses a snapshot that this host or VMM cannot take, before any effect: `MICROVM_SNAPSHOT_INCOMPATIBLE`.
   */
  checkSnapshot(source: RestoreSource, spec: ResolvedVmSpec): Promise<void>;
  /** Makes a VM's resources from a snapshot: `paused` with memory (workload frozen), `created` without. */
  restore(vm: DriverVm, source: RestoreSource, run: Run): Promise<VmmInfo>;
  /** Forgets a snapshot that was kept by uid; for a driver that works without a state directory. */
  forget?(snapshotUid: string): void;
}

/** Feature of a driver: an agent in the guest. */
export interface DriverGuestAgent {
  guest(vm: DriverVm): Promise<Guest>;
  /**
   * Tells the agent of a running guest `vm.settings`. Rejects with `MICROVM_GUEST_UNREACHABLE`, or with
   * `MICROVM_UNSUPPORTED` for an agent that does not know them.
   */
  configure(vm: DriverVm, run: Run): Promise<void>;
}

/** Feature of a driver: the console of a VM can be read. */
export interface DriverConsole {
  read(vm: DriverVm, options: ConsoleOptions): AsyncIterable<Buffer>;
}

/** Feature of a driver: metrics of its VMs. */
export interface DriverMetering {
  /**
   * In bounded time, also while another method is at work, and whatever has become of the VMM. Rejects only
   * by the signal or for the state directory.
   */
  metrics(vm: DriverVm, how: MetricsRequest): Promise<DriverMetrics>;
}

/**
 * Makes host effects for one kind of VMM; knows no ids, no jobs, no journal. The engine calls one method at a
 * time per VM, many VMs at once. A method rejects with a `VmRuntimeError` where a code fits, else with the
 * system's own error. `halt` and `release` work in every condition, also half-way through another method that
 * was interrupted by a crash of the process, and may be called again.
 *
 * The optional members are features. The engine refuses with `MICROVM_UNSUPPORTED` what needs one that a
 * driver has not.
 */
export interface VmDriver {
  readonly name: string;
  readonly support: DriverSupport;
  /** Every step name that `Run.step` is called with. */
  readonly steps: readonly string[];

  readonly pausing?: DriverPausing | undefined;
  readonly snapshots?: DriverSnapshots | undefined;
  readonly guestAgent?: DriverGuestAgent | undefined;
  readonly console?: DriverConsole | undefined;
  readonly metering?: DriverMetering | undefined;

  /**
   * Called once, before anything else but `probe`, with every VM whose host resources may be there. Removes
   * what no such VM owns, and answers what became of it.
   */
  open(events: DriverEvents, known: readonly KnownVm[]): Promise<Sweep>;
  probe(): Promise<HostReport>;

  /**
   * Refuses what `support` cannot say, such as a missing file, before any effect: `MICROVM_UNSUPPORTED`,
   * `MICROVM_INVALID_ARGUMENT`. The engine has checked features and limits already.
   */
  checkSpec(spec: ResolvedVmSpec, overrides: VmSpec): Promise<void>;
  /**
   * Names every host resource that the VM may get, and reserves what others could take, such as a user id;
   * written to the record before the first effect. `release` frees what was reserved, also when `plan` is all
   * that was done; `open` reclaims what the plans of known VMs name.
   */
  plan(vm: PlanRequest): JsonObject | Promise<JsonObject>;

  /** Makes the VM's resources: `created`. */
  prepare(vm: DriverVm, run: Run): Promise<VmmInfo>;
  /** Cold boot; resolves when the guest is ready: `running`. After a failure the engine calls `halt`. */
  boot(vm: DriverVm, run: Run): Promise<VmmInfo>;
  /**
   * Asks the guest to flush and halt, waits, forces; afterwards the VMM is gone. Rejects only by the signal.
   */
  shutdown(vm: DriverVm, run: Run): Promise<VmEnding>;
  /** Ends the VMM at once, keeps the disks. */
  halt(vm: DriverVm): Promise<void>;
  /** Removes all the VM has but its folder, and verifies it; answers what is left. */
  release(vm: DriverVm): Promise<readonly string[]>;

  /** `instanceId`s of every VMM of ours that lives on this host, in one look. */
  survey(): Promise<ReadonlySet<string>>;
  /**
   * Asks the VMM what is true: takes over a living VM after a restart, and answers for one that this process
   * holds after a method broke off.
   */
  adopt(vm: DriverVm, run: Run): Promise<Adoption>;

  /** Lets go of what belongs to this process: watches, connections. VMs run on. */
  close(): Promise<void>;
}
