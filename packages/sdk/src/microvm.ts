import { KeepAlive, type SnapshotRef, type VmRuntime } from '@microvm/runtime';
import { onBeforeExit } from './before-exit.js';
import type { Context } from './context.js';
import type { DriverChoice } from './drivers.js';
import { launchVm } from './launch.js';
import type { CreateOptions, CreateSpec, MicrovmOptions, OpenOptions } from './options.js';
import { chooseDriver, openOwnRuntime, type OwnDriver, type OwnRuntime } from './own-runtime.js';
import { Snapshot } from './snapshot.js';
import { Vm } from './vm.js';

/**
 * microVMs of one runtime: a given one, or one that is opened at the first call that needs it and shared from
 * then on.
 */
export class Microvm implements AsyncDisposable {
  readonly #alive = new KeepAlive();
  readonly #openOptions: OpenOptions;
  #explicit: VmRuntime | undefined;
  #chosen: Promise<OwnDriver> | undefined;
  #own: Promise<OwnRuntime> | undefined;
  #stopWatchingIdle = (): void => undefined;

  constructor(options: MicrovmOptions = {}) {
    const { runtime, ...openOptions } = options;
    this.#explicit = runtime;
    this.#openOptions = openOptions;
  }

  /**
   * From now on VMs come from this runtime, which stays the caller's to close. VMs that are there stay with
   * theirs.
   */
  use(runtime: VmRuntime): void {
    this.#explicit = runtime;
  }

  /**
   * A VM that runs and whose agent answers when the promise resolves; it is gone at the end of an `await
   * using` block. While it lives it keeps Node alive, as a child process does. Errors: INVALID_ARGUMENT,
   * VM_ALREADY_EXISTS, IMAGE_NOT_FOUND, IMAGE_INVALID, UNSUPPORTED, HOST_UNSUPPORTED, NO_SPACE,
   * GUEST_UNREACHABLE, VMM_EXITED, TIMEOUT. After an error or an abort nothing of it is left.
   */
  async create(spec: CreateSpec = {}, options?: CreateOptions): Promise<Vm> {
    return (await this.#context()).launch(spec, options);
  }

  /** The VM that has this id; undefined when none has. */
  async get(vmId: string): Promise<Vm | undefined> {
    const context = await this.#context();
    const view = await context.runtime.getVm(vmId);
    return view === undefined || view.state === 'destroyed' ? undefined : new Vm(context, view);
  }

  /** Every VM that is there, sorted by id. */
  async list(): Promise<readonly Vm[]> {
    const context = await this.#context();
    const views = await context.runtime.listVms();
    return views.filter(({ state }) => state !== 'destroyed').map((view) => new Vm(context, view));
  }

  /** A snapshot, also one whose VM is gone; undefined when there is none. */
  async snapshot(snapshot: SnapshotRef): Promise<Snapshot | undefined> {
    const context = await this.#context();
    const view = await context.runtime.describeSnapshot(snapshot);
    return view === undefined ? undefined : new Snapshot(context, view);
  }

  /**
   * Every snapshot, also of VMs that are gone, in the order they were taken; `view.sizeBytes` says what each
   * takes.
   */
  async snapshots(): Promise<readonly Snapshot[]> {
    const context = await this.#context();
    const views = await context.runtime.listSnapshots();
    return views.map((view) => new Snapshot(context, view));
  }

  /** The runtime below: everything that the SDK does not show. */
  async runtime(): Promise<VmRuntime> {
    return this.#explicit ?? (await this.#open()).runtime;
  }

  /**
   * Which driver runs the VMs, why, and what its probe found. Opens nothing. Errors: INVALID_ARGUMENT,
   * HOST_UNSUPPORTED.
   */
  async driver(): Promise<DriverChoice> {
    if (this.#explicit === undefined) return (await this.#alive.during(this.#choose())).choice;
    const report = await this.#alive.during(this.#explicit.probe());
    return { driver: report.driver, reason: 'the runtime that was given', reports: [report] };
  }

  /**
   * Closes the runtime that this object opened, if it did: its one-shot VMs are destroyed, its temporary
   * state is removed. A given runtime is not touched. Idempotent; a later call opens a new one.
   */
  async close(): Promise<void> {
    const own = this.#own;
    this.#stopWatchingIdle();
    if (own === undefined) return;
    await this.#alive.during(own.then(({ close }) => close()));
    if (this.#own === own) this.#own = undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #context(): Promise<Context> {
    const runtime = await this.runtime();
    const context: Context = {
      runtime,
      alive: this.#alive,
      launch: (spec, options) => launchVm(context, spec, options),
    };
    return context;
  }

  #choose(): Promise<OwnDriver> {
    this.#chosen ??= chooseDriver(this.#openOptions).catch((error: unknown) => {
      this.#chosen = undefined;
      throw error;
    });
    return this.#chosen;
  }

  #open(): Promise<OwnRuntime> {
    if (this.#own !== undefined) return this.#own;
    // A script that has destroyed its VMs need not close anything: it ends by itself, and ends clean.
    this.#stopWatchingIdle();
    this.#stopWatchingIdle = onBeforeExit(() => void this.close());
    this.#own = this.#alive.during(this.#choose().then(openOwnRuntime)).catch((error: unknown) => {
      this.#own = undefined;
      throw error;
    });
    return this.#own;
  }
}

/** microVMs of a given runtime, or of one opened by these options. Nothing happens before the first call. */
export function createMicrovm(options?: MicrovmOptions): Microvm {
  return new Microvm(options);
}

/** microVMs of this process's shared runtime: the best driver that works here, opened at the first call. */
export const microvm: Microvm = createMicrovm();
