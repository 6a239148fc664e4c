import type { EnvironmentUpdate } from './environment.js';
import type { OperationOptions, SnapshotOptions, StartOptions } from './options.js';
import type { SecretValue } from './secrets.js';
import type { VmSpec } from './spec.js';
import type { SnapshotRef } from './verbs.js';
import type { SnapshotView, VmView } from './views.js';

/**
 * Changes the state of VMs. Each change is a lifecycle job: one at a time per VM, in the order of the calls.
 *
 * Checks come in this order, before any effect: argument, VM not found, state, name exists. An abort or a
 * time-out before the job began leaves all as it was; afterwards what was done is undone, or, for stop and
 * destroy, carried as far as it came. After `close()` every call rejects with `MICROVM_CLOSED`.
 */
export abstract class VmProvider {
  /**
   * Makes a VM from the workspace's defaults: `created`. Errors: VM_ALREADY_EXISTS, NO_SPACE,
   * HOST_UNSUPPORTED. Aborted: nothing is left, the id is free. Not idempotent without a key.
   */
  abstract createVm(vmId: string, options?: OperationOptions): Promise<VmView>;

  /**
   * Starts a created, stopped or crashed VM (cold boot on the same disks), or resumes a paused one:
   * `running`, its agent answers and has the environment and the secrets. Errors: INVALID_TRANSITION,
   * SECRETS_MISSING, GUEST_UNREACHABLE, VMM_EXITED. Aborted: back in the earlier state, the attempt's VMM
   * gone.
   */
  abstract startVm(vmId: string, options?: StartOptions): Promise<VmView>;

  /**
   * Stops a running VM: `stopped`. The guest gets `shutdownTimeoutMs` to flush, then force; `stop` in the
   * view says which it was. Errors: INVALID_TRANSITION. Aborted: what the VMM says; a guest that was told
   * already may still halt by itself.
   */
  abstract stopVm(vmId: string, options?: OperationOptions): Promise<VmView>;

  /**
   * Publishes a snapshot, whole or not at all; the VM's state is unchanged, a running guest stands still
   * meanwhile. Errors: INVALID_TRANSITION, SNAPSHOT_ALREADY_EXISTS, SECRETS_PRESENT, NO_SPACE. Aborted: no
   * snapshot, the guest goes on.
   */
  abstract snapshotVm(vmId: string, snapshotId: string, options?: SnapshotOptions): Promise<SnapshotView>;

  /**
   * Ends the VM in any state and removes all it had, verified: `destroyed`. Its snapshots stay.
   * Errors: CLEANUP_INCOMPLETE (then `crashed`; call it again). Aborted: the same as incomplete.
   */
  abstract destroyVm(vmId: string, options?: OperationOptions): Promise<VmView>;

  /**
   * Makes a VM that differs from the defaults, or restores one: `restoreFrom` a memory snapshot gives a
   * `running` VM (`paused` with `resumeImmediately: false`), from a disk snapshot a `created` one. Fields
   * that contradict the snapshot are refused. Errors: those of createVm, SNAPSHOT_NOT_FOUND,
   * SNAPSHOT_CORRUPT, SNAPSHOT_INCOMPATIBLE, UNSUPPORTED. Aborted: as createVm.
   */
  abstract createVmWithSpec(vmId: string, spec: VmSpec, options?: OperationOptions): Promise<VmView>;

  /**
   * Gives a VM another id, whatever runs on in it; nothing of the host moves. Onto itself: no effect.
   * Errors: VM_ALREADY_EXISTS, INVALID_TRANSITION. Atomic: an abort comes before or after it.
   */
  abstract renameVm(oldVmId: string, newVmId: string, options?: OperationOptions): Promise<VmView>;

  /** Holds a running guest still: `paused`. Errors: INVALID_TRANSITION. Aborted: what the VMM says. */
  abstract pauseVm(vmId: string, options?: OperationOptions): Promise<VmView>;

  /**
   * Lets a paused guest go on, its clock corrected: `running`. Errors: INVALID_TRANSITION. Aborted: paused.
   */
  abstract resumeVm(vmId: string, options?: OperationOptions): Promise<VmView>;

  /**
   * Changes the environment of the VM's commands: a value sets a variable, null removes one, the others stay.
   * A running guest has the new one for the commands that are started from then on, a paused one when it goes
   * on, any other with its next start. Errors: INVALID_ARGUMENT (also for more than 1 MiB in all),
   * INVALID_TRANSITION, GUEST_UNREACHABLE, UNSUPPORTED (no agent, or one of protocol 1). Aborted: the
   * environment is as before. The same changes twice: no further effect.
   */
  abstract setEnv(vmId: string, env: EnvironmentUpdate, options?: OperationOptions): Promise<VmView>;

  /**
   * Gives the guest a secret: the file /run/secrets/NAME of mode 0600, replaced at once where there is one,
   * and a variable of those commands that name it. A paused guest has it before its workload goes on. The
   * value stays in memory: of this process until the guest's life ends, and of the guest. Errors:
   * INVALID_ARGUMENT, INVALID_TRANSITION, GUEST_UNREACHABLE, UNSUPPORTED (no agent, or one of protocol 1),
   * HOST_FAILURE (the guest could not store it). Aborted: as before. The same twice: no further effect.
   */
  abstract setSecret(
    vmId: string,
    name: string,
    value: SecretValue,
    options?: OperationOptions,
  ): Promise<VmView>;

  /**
   * Removes a secret from the guest, where its file is overwritten, and from the VM. Errors: as `setSecret`.
   * Aborted: as before, as far as the value is known. Of a secret that is not there: no effect.
   */
  abstract deleteSecret(vmId: string, name: string, options?: OperationOptions): Promise<VmView>;

  /** Removes a snapshot. Errors: SNAPSHOT_NOT_FOUND, SNAPSHOT_IN_USE while a live VM maps its memory. */
  abstract deleteSnapshot(snapshot: SnapshotRef, options?: OperationOptions): Promise<void>;

  /** Reads every file of a snapshot against its digests. Errors: SNAPSHOT_NOT_FOUND, SNAPSHOT_CORRUPT. */
  abstract verifySnapshot(snapshot: SnapshotRef, options?: OperationOptions): Promise<SnapshotView>;

  /** Removes a destroyed VM's tombstone; its snapshots stay, by uid. Errors: INVALID_TRANSITION. */
  abstract forgetVm(vmId: string, options?: OperationOptions): Promise<void>;
}
