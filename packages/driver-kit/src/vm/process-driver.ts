import { bootId, type ProcessIdentity } from '@microvm/native';
import {
  NOTHING_SWEPT,
  type Adoption,
  type Captured,
  type CaptureTarget,
  type DriverConsole,
  type DriverEvents,
  type DriverGuestAgent,
  type DriverMetering,
  type DriverMetrics,
  type DriverPausing,
  type DriverSnapshots,
  type DriverSupport,
  type DriverVm,
  type HostReport,
  type JsonObject,
  type KnownVm,
  type Limits,
  type MetricsRequest,
  type PlanRequest,
  type ResolvedVmSpec,
  type RestoreSource,
  type Resumption,
  type Run,
  type Sweep,
  type VmDriver,
  type VmEnding,
  type VmmInfo,
  type VmSpec,
} from '@microvm/runtime';
import { Consoles } from '../console/consoles.js';
import { captureDisks, makeDisks, type DiskTarget } from '../disks/disk-files.js';
import { configureGuest, ensureThawed } from '../guest/workload.js';
import { processMetrics } from '../metrics/process-metrics.js';
import { askToHalt, SHUTDOWN_STEPS, type HaltableVm } from './ask-to-halt.js';
import { endingOfGone, endingWithHost, endingWithoutExit, type EndingReason } from './ending.js';
import { PAUSE_STEPS, pauseVm, resumeVm, type PausableVm } from './pause.js';
import { folderOf, type ProcessVm } from './process-vm.js';
import { VmTable } from './vm-table.js';
import type { VmmLife } from './vmm-life.js';

/** One life of a VM, as far as `ProcessDriver` has to do with it. */
export type ProcessLife = VmmLife & PausableVm & HaltableVm;

/** What a VMM says of its guest: that it is there, or why it ended although the VMM did not. */
export type FoundState = 'running' | 'paused' | { readonly ended: EndingReason };

/** Snapshots as a VMM brings them to `ProcessDriver`, which copies and makes the disks. */
export interface ProcessSnapshots<Vm, Live> extends Omit<DriverSnapshots, 'capture' | 'restore' | 'forget'> {
  /** Writes a snapshot's files but the disks, which are copied afterwards. */
  readonly capture: (vm: Vm, target: CaptureTarget, run: Run) => Promise<Omit<Captured, 'diskCopy'>>;
  /**
   * Makes a VM's other resources from a snapshot; its disks are there. With memory it answers a life whose
   * guest stands still.
   */
  readonly restore: (vm: Vm, source: RestoreSource, run: Run) => Promise<Live | undefined>;
}

export interface ProcessDriverOptions {
  readonly stateDir: string;
  readonly probe: () => Promise<HostReport>;
}

/** The steps that `ProcessDriver` marks itself, for a driver's list. */
export const PROCESS_STEPS: readonly string[] = [
  'prepare:disks',
  'configure:told',
  ...PAUSE_STEPS,
  ...SHUTDOWN_STEPS,
  'capture:disks',
  'restore:disks',
];

const STATUS_TIMEOUT_MS = 4000;

/**
 * A driver whose VMMs are processes. This class has what does not depend on the VMM: the lives and their
 * consoles, pause, resume, shutdown, adoption, the death of the owner. A VMM brings the protected methods,
 * each of which gets the VM with its plan read.
 */
export abstract class ProcessDriver<Vm extends ProcessVm, Live extends ProcessLife> implements VmDriver {
  abstract readonly name: string;
  abstract readonly support: DriverSupport;
  abstract readonly steps: readonly string[];
  readonly pausing: DriverPausing = {
    pause: (vm, run) => this.#pause(vm, run),
    resume: (vm, how, run) => this.#resume(vm, how, run),
  };
  /** `snapshotsBy` makes the object from what the VMM brings. */
  readonly snapshots: DriverSnapshots | undefined;
  /** `agentOfGuests` makes the object where the VMM's guests have our agent. */
  readonly guestAgent: DriverGuestAgent | undefined;
  readonly console: DriverConsole = { read: (vm, options) => this.#consoles.read(vm, options) };
  readonly metering: DriverMetering = { metrics: (vm, how) => this.#metrics(vm, how) };
  protected readonly table = new VmTable<Live>();
  readonly #probe: () => Promise<HostReport>;
  readonly #consoles = new Consoles();

  protected constructor({ probe }: ProcessDriverOptions) {
    this.#probe = probe;
  }

  abstract checkSpec(spec: ResolvedVmSpec, given: VmSpec): Promise<void>;
  abstract plan(vm: PlanRequest): Promise<JsonObject>;
  abstract survey(): Promise<ReadonlySet<string>>;

  /** Reads the plan and derives what follows from the plan: the one place where that is done for a call. */
  protected abstract vmOf(vm: DriverVm): Vm;
  /** The VM's drives: the private ones are made before `prepareVm` and before a restore. */
  protected abstract disksOf(vm: Vm): DiskTarget;
  /** Cold boot; resolves when the guest is ready. */
  protected abstract bootVm(vm: Vm, run: Run): Promise<Live>;
  /**
   * Ends the VMM of a guest that was asked to halt; `ending` is how the guest ended, undefined when it did
   * not in time.
   */
  protected abstract finishShutdown(
    vm: Vm,
    live: Live,
    ending: VmEnding | undefined,
    signal: AbortSignal,
  ): Promise<VmEnding>;
  /**
   * Removes one life of a VM: its VMM, known to this process or not, and what that worked with. Idempotent.
   */
  protected abstract clearLife(vm: Vm): Promise<void>;
  /** Removes the files of a VM that has no life; answers what is still there afterwards. */
  protected abstract removeFiles(vm: Vm): Promise<readonly string[]>;
  /** Every VMM of a VM that lives on this host, recorded or not. */
  protected abstract vmmsOf(vm: Vm): Promise<readonly ProcessIdentity[]>;
  /** The life of a VMM that an earlier owner started. */
  protected abstract lifeOf(vm: Vm, identity: ProcessIdentity): Promise<Live>;
  /** Asks the VMM for its guest, and ends what a method that broke off has left under way. */
  protected abstract stateOf(live: Live, limits: Limits): Promise<FoundState>;

  /**
   * Makes what a new VM has beside its disks. Answers the life of a VMM that is started this early; none by
   * default.
   */
  protected async prepareVm(_vm: Vm, _run: Run): Promise<Live | undefined> {
    return undefined;
  }
  /** Refuses a pause that this VM does not allow. */
  protected checkPause(_vm: Vm): void {}
  /** The byte of the console at which the VM's present life begins. */
  protected async consoleStartOf(_vm: Vm): Promise<number> {
    return 0;
  }
  /** A VM's metrics; `live` is undefined when there is no VMM that could be asked. */
  protected async metricsOf(
    _vm: Vm,
    live: Live | undefined,
    { isLive }: MetricsRequest,
  ): Promise<DriverMetrics> {
    const process = isLive && live !== undefined ? await processMetrics(live.identity) : undefined;
    return { vmm: { counters: {}, gauges: {} }, ...(process === undefined ? {} : { process }) };
  }

  async open(events: DriverEvents, _known: readonly KnownVm[]): Promise<Sweep> {
    this.table.open(events);
    return NOTHING_SWEPT;
  }

  probe(): Promise<HostReport> {
    return this.#probe();
  }

  async prepare(vm: DriverVm, run: Run): Promise<VmmInfo> {
    const planned = this.vmOf(vm);
    await makeDisks(this.disksOf(planned), run);
    await run.step('prepare:disks');
    return infoOf(await this.prepareVm(planned, run));
  }

  async boot(vm: DriverVm, run: Run): Promise<VmmInfo> {
    const planned = this.vmOf(vm);
    const live = await this.bootVm(planned, run);
    await configureGuest(live.agent, { vm: planned, signal: run.signal });
    this.table.reportEnd(live);
    return infoOf(live);
  }

  async shutdown(vm: DriverVm, run: Run): Promise<VmEnding> {
    const planned = this.vmOf(vm);
    const live = this.table.liveOf(vm);
    live.expectEnd();
    try {
      const ending = await askToHalt(live, planned, run);
      return await this.finishShutdown(planned, live, ending, run.signal);
    } catch (error) {
      this.table.reportEnd(live);
      throw error;
    }
  }

  async halt(vm: DriverVm): Promise<void> {
    await this.#halt(this.vmOf(vm));
  }

  async release(vm: DriverVm): Promise<readonly string[]> {
    const planned = this.vmOf(vm);
    const alive = await this.#halt(planned).then(
      () => [],
      (error: unknown) => [(error as Error).message],
    );
    const left = [...alive, ...(await this.removeFiles(planned))];
    this.#consoles.release(vm.instanceId);
    return left;
  }

  async adopt(vm: DriverVm, run: Run): Promise<Adoption> {
    const planned = this.vmOf(vm);
    const live = this.table.get(vm.instanceId) ?? (await this.#takeOver(planned));
    if (live === undefined) return { state: 'ended', ending: await this.#endingOf(planned, vm.vmm) };
    if (live.hasEnded) return endedBy(live, await live.ended);
    const { signal } = run;
    const state = await this.stateOf(live, { signal, timeoutMs: STATUS_TIMEOUT_MS });
    if (typeof state === 'object') {
      return endedBy(live, await endingWithoutExit(state.ended, planned.directory));
    }
    if (state === 'running') await ensureThawed(live.agent, { vm: planned, signal });
    this.table.reportEnd(live);
    return { state, vmm: live.identity };
  }

  async #endingOf(vm: Vm, vmm: ProcessIdentity | undefined): Promise<VmEnding> {
    if (vmm !== undefined && vmm.bootId !== bootId()) return endingWithHost(vm.directory);
    return endingOfGone(vm.directory, await this.consoleStartOf(vm));
  }

  async close(): Promise<void> {
    this.#consoles.close();
    await this.table.close();
  }

  /** For `snapshots`: the driver's own part gets each VM with its plan read. */
  protected snapshotsBy({ capture, restore, ...rest }: ProcessSnapshots<Vm, Live>): DriverSnapshots {
    return {
      ...rest,
      capture: async (vm, target, run) => {
        const planned = this.vmOf(vm);
        const captured = await capture(planned, target, run);
        const disks = await captureDisks(planned, this.disksOf(planned), folderOf(target), run);
        await run.step('capture:disks');
        return { ...captured, diskCopy: disks.method, parts: [...captured.parts, ...disks.parts] };
      },
      restore: async (vm, source, run) => {
        const planned = this.vmOf(vm);
        await makeDisks(this.disksOf(planned), run);
        await run.step('restore:disks');
        const live = await restore(planned, source, run);
        if (source.memory && live !== undefined) this.table.reportEnd(live);
        return infoOf(live);
      },
    };
  }

  /** For `guestAgent`. */
  protected agentOfGuests(): DriverGuestAgent {
    return {
      guest: async (vm) => this.table.liveOf(vm).agent.guest(),
      configure: async (vm, run) => {
        await configureGuest(this.table.liveOf(vm).agent, { vm, signal: run.signal });
        await run.step('configure:told');
      },
    };
  }

  async #pause(vm: DriverVm, run: Run): Promise<void> {
    const planned = this.vmOf(vm);
    this.checkPause(planned);
    await pauseVm(this.table.liveOf(vm), planned, run);
  }

  async #resume(vm: DriverVm, how: Resumption, run: Run): Promise<void> {
    await resumeVm(this.table.liveOf(vm), this.vmOf(vm), how, run);
  }

  async #metrics(vm: DriverVm, how: MetricsRequest): Promise<DriverMetrics> {
    const live = this.table.get(vm.instanceId);
    return this.metricsOf(this.vmOf(vm), live?.hasEnded === false ? live : undefined, how);
  }

  async #halt(vm: Vm): Promise<void> {
    await this.table.settled(vm.instanceId);
    await this.clearLife(vm);
  }

  /** The VMM that an earlier owner started, reported from here on, even if it does not answer. */
  async #takeOver(vm: Vm): Promise<Live | undefined> {
    const [identity] = await this.vmmsOf(vm);
    if (identity === undefined) return undefined;
    const live = await this.table.start(vm, () => this.lifeOf(vm, identity));
    this.table.reportEnd(live);
    return live;
  }
}

function infoOf(live: ProcessLife | undefined): VmmInfo {
  return live === undefined ? {} : { vmm: live.identity };
}

function endedBy(live: ProcessLife, ending: VmEnding): Adoption {
  live.expectEnd();
  return { state: 'ended', ending };
}
