import {
  deriveVm,
  folderOf,
  PROCESS_STEPS,
  ProcessDriver,
  removeFiles,
  type DiskTarget,
  type FoundState,
  type ProcessDriverOptions,
} from '@microvm/driver-kit';
import { watchProcess, type ProcessIdentity } from '@microvm/native';
import type {
  DriverSupport,
  DriverVm,
  JsonObject,
  Limits,
  PlanRequest,
  Run,
  VmEnding,
} from '@microvm/runtime';
import { FILES, makePlan, readPlan, type MinimalVm } from './host/vm-plan.js';
import { surveyVmms, vmmsOf } from './process/find-vmm.js';
import { bootVm } from './vm/boot.js';
import { captureVm } from './vm/capture.js';
import { clearLife, finishShutdown } from './vm/halt.js';
import { LiveVm } from './vm/live-vm.js';
import { checkSnapshot, restoreVm } from './vm/restore.js';

/** What the driver is asked for, method by method, in the order in which a VM meets them. */
export class MinimalDriver extends ProcessDriver<MinimalVm, LiveVm> {
  readonly name = 'minimal';
  readonly support: DriverSupport = {
    rename: true,
    adoption: true,
    ownerDeathWatcher: true,
    spec: { rootDrive: true, extraDrives: true },
    limits: { maxVcpuCount: 1, maxMemSizeMib: 1024 },
  };
  readonly steps = [
    'boot:spawned',
    'boot:ready',
    ...PROCESS_STEPS,
    'capture:memory',
    'restore:spawned',
    'restore:loaded',
  ];
  override readonly snapshots = this.snapshotsBy({
    memory: true,
    disks: true,
    concurrentRestores: true,
    networkOverrides: false,
    checkSnapshot: async (source, spec) => checkSnapshot(source, spec),
    capture: (vm, target, run) => captureVm(this.table, vm, target, run),
    restore: (vm, source, run) => restoreVm(this.table, vm, source, run),
  });
  readonly #stateDir: string;

  constructor(options: ProcessDriverOptions) {
    super(options);
    this.#stateDir = options.stateDir;
  }

  async checkSpec(): Promise<void> {
    // This VMM takes all that `support` lets through.
  }

  plan(request: PlanRequest): Promise<JsonObject> {
    return makePlan(request);
  }

  survey(): Promise<ReadonlySet<string>> {
    return surveyVmms(this.#stateDir);
  }

  // There is no agent in the guest, whatever the spec says.
  protected vmOf(vm: DriverVm): MinimalVm {
    return deriveVm(vm, {
      spec: { ...vm.spec, agent: 'none' },
      plan: readPlan(vm.plan),
      directory: folderOf(vm),
    });
  }

  protected disksOf({ plan, directory }: MinimalVm): DiskTarget {
    return { drives: plan.drives, folder: directory };
  }

  protected bootVm(vm: MinimalVm, run: Run): Promise<LiveVm> {
    return bootVm(this.table, vm, run);
  }

  protected finishShutdown(vm: MinimalVm, _live: LiveVm, ending: VmEnding | undefined): Promise<VmEnding> {
    return finishShutdown(this.table, vm, ending);
  }

  protected clearLife(vm: MinimalVm): Promise<void> {
    return clearLife(this.table, vm);
  }

  protected removeFiles({ directory }: MinimalVm): Promise<readonly string[]> {
    return removeFiles(directory, FILES);
  }

  protected vmmsOf(vm: MinimalVm): Promise<readonly ProcessIdentity[]> {
    return vmmsOf(vm);
  }

  protected async lifeOf(vm: MinimalVm, identity: ProcessIdentity): Promise<LiveVm> {
    return new LiveVm(vm, watchProcess(identity));
  }

  protected stateOf(live: LiveVm, limits: Limits): Promise<FoundState> {
    return live.state(limits);
  }
}
