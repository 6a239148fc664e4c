import {
  planNewDrives,
  PROCESS_STEPS,
  ProcessDriver,
  type DiskTarget,
  type FoundState,
  type ProcessDriverOptions,
} from '@microvm/driver-kit';
import type { ProcessIdentity } from '@microvm/native';
import type {
  DriverSupport,
  DriverVm,
  JsonObject,
  Limits,
  PlanRequest,
  ResolvedVmSpec,
  Run,
  VmEnding,
  VmSpec,
} from '@microvm/runtime';
import type { HostFacts } from './host/host-facts.js';
import { makePlan } from './host/vm-plan.js';
import { surveyVmms, vmmsOf } from './process/find-vmm.js';
import { lifeOf, stateOf } from './vm/adopt.js';
import { bootVm } from './vm/boot.js';
import { captureVm } from './vm/capture.js';
import { checkSpec } from './vm/check-spec.js';
import { checkSnapshot } from './vm/compatibility.js';
import type { QemuContext } from './vm/context.js';
import { clearLife } from './vm/halt.js';
import type { LiveVm } from './vm/live-vm.js';
import { qemuVm, type QemuVm } from './vm/qemu-vm.js';
import { removeVmFiles } from './vm/release.js';
import { restoreVm } from './vm/restore.js';
import { finishShutdown } from './vm/shutdown.js';

export interface QemuDriverOptions extends ProcessDriverOptions {
  readonly hostFacts: HostFacts;
  readonly maxMemSizeMib: number;
  readonly bootSilenceMs: number;
}

const MAX_VCPU_COUNT = 32;

/** VMs on QEMU's `microvm` machine. */
export class QemuDriver extends ProcessDriver<QemuVm, LiveVm> {
  readonly name = 'qemu';
  readonly support: DriverSupport;
  readonly steps = [
    'boot:started',
    'boot:ready',
    ...PROCESS_STEPS,
    'capture:state',
    'capture:memory',
    'restore:started',
    'restore:loaded',
  ];
  override readonly guestAgent = this.agentOfGuests();
  override readonly snapshots = this.snapshotsBy({
    memory: true,
    disks: true,
    concurrentRestores: true,
    networkOverrides: false,
    checkSnapshot: async (source, spec) => checkSnapshot(this.#context.hostFacts, source, spec),
    capture: (vm, target, run) => captureVm(this.#context, vm, target, run),
    restore: (vm, source, run) => restoreVm(this.#context, vm, source, run),
  });
  readonly #stateDir: string;
  readonly #context: QemuContext;

  constructor(options: QemuDriverOptions) {
    super(options);
    const { hostFacts, bootSilenceMs, maxMemSizeMib, stateDir } = options;
    this.support = supportOf(maxMemSizeMib);
    this.#stateDir = stateDir;
    this.#context = { hostFacts, table: this.table, bootSilenceMs };
  }

  checkSpec(spec: ResolvedVmSpec, given: VmSpec): Promise<void> {
    return checkSpec(spec, given);
  }

  async plan({ spec, source }: PlanRequest): Promise<JsonObject> {
    return makePlan(spec, await planNewDrives(spec, source));
  }

  survey(): Promise<ReadonlySet<string>> {
    return surveyVmms(this.#stateDir);
  }

  protected vmOf(vm: DriverVm): QemuVm {
    return qemuVm(vm);
  }

  protected disksOf({ plan, directory }: QemuVm): DiskTarget {
    return { drives: plan.drives, folder: directory };
  }

  protected bootVm(vm: QemuVm, run: Run): Promise<LiveVm> {
    return bootVm(this.#context, vm, run);
  }

  protected finishShutdown(vm: QemuVm, live: LiveVm, ending: VmEnding | undefined): Promise<VmEnding> {
    return finishShutdown(this.#context, vm, live, ending);
  }

  protected clearLife(vm: QemuVm): Promise<void> {
    return clearLife(this.#context, vm);
  }

  protected removeFiles(vm: QemuVm): Promise<readonly string[]> {
    return removeVmFiles(vm);
  }

  protected vmmsOf(vm: QemuVm): Promise<readonly ProcessIdentity[]> {
    return vmmsOf(vm);
  }

  protected async lifeOf(vm: QemuVm, identity: ProcessIdentity): Promise<LiveVm> {
    return lifeOf(vm, identity);
  }

  protected stateOf(live: LiveVm, limits: Limits): Promise<FoundState> {
    return stateOf(live, limits);
  }
}

function supportOf(maxMemSizeMib: number): DriverSupport {
  return {
    rename: true,
    adoption: true,
    ownerDeathWatcher: true,
    spec: { initrd: true, rootDrive: true, image: true, extraDrives: true, entropy: true },
    limits: { maxVcpuCount: MAX_VCPU_COUNT, maxMemSizeMib },
  };
}
