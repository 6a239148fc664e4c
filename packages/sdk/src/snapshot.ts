import type { OperationOptions, SnapshotView } from '@microvm/runtime';
import type { Context } from './context.js';
import type { CreateOptions, RestoreSpec } from './options.js';
import type { Vm } from './vm.js';

/**
 * A VM's memory and disks at one moment (or its disks only). It outlives its VM, and any number of VMs can
 * come from it.
 */
export class Snapshot {
  readonly #context: Context;
  readonly #view: SnapshotView;

  constructor(context: Context, view: SnapshotView) {
    this.#context = context;
    this.#view = view;
  }

  /** Its immutable name: 32 hex digits. */
  get uid(): string {
    return this.#view.snapshotUid;
  }

  /** The name it was given. */
  get name(): string {
    return this.#view.snapshotId;
  }

  /** Size, kind, how long the guest stood still. */
  get view(): SnapshotView {
    return this.#view;
  }

  /**
   * A new VM that goes on from here; several at once are fine. With memory it runs when the promise resolves
   * (paused with `resumeImmediately: false`); from disks only it is booted, unless `start` is false. Errors:
   * those of `create`, SNAPSHOT_NOT_FOUND, SNAPSHOT_CORRUPT, SNAPSHOT_INCOMPATIBLE.
   */
  restore(spec: RestoreSpec = {}, options?: CreateOptions): Promise<Vm> {
    return this.#context.launch({ ...spec, restoreFrom: { snapshotUid: this.uid } }, options);
  }

  /** Reads every file against its digest. Errors: SNAPSHOT_NOT_FOUND, SNAPSHOT_CORRUPT. */
  async verify(options?: OperationOptions): Promise<void> {
    const { alive, runtime } = this.#context;
    await alive.during(runtime.verifySnapshot({ snapshotUid: this.uid }, options));
  }

  /** Errors: SNAPSHOT_NOT_FOUND, SNAPSHOT_IN_USE while a live VM maps its memory. */
  async delete(options?: OperationOptions): Promise<void> {
    const { alive, runtime } = this.#context;
    await alive.during(runtime.deleteSnapshot({ snapshotUid: this.uid }, options));
  }
}
