import {
  checkSpecFiles,
  Consoles,
  folderOf,
  makeDisks,
  OwnerDeathWatcher,
  PAUSE_STEPS,
  pauseVm,
  processMetrics,
  resumeVm,
  SHUTDOWN_STEPS,
  VmTable,
} from '@microvm/driver-kit';
import {
  defineCapabilities,
  unsupported,
  type Adoption,
  type Capabilities,
  type Captured,
  type CaptureTarget,
  type ConsoleOptions,
  type DriverEvents,
  type DriverMetrics,
  type DriverVm,
  type Guest,
  type HostReport,
  type JsonObject,
  type MetricsRequest,
  type ResolvedVmSpec,
  type RestoreSource,
  type Resumption,
  type Run,
  type VmDriver,
  type VmEnding,
  type VmmInfo,
} from '@microvm/runtime';
import type { QemuHost } from './host/qemu-host.js';
import { makePlan, readPlan } from './host/vm-plan.js';
import { surveyVmms } from './process/find-vmm.js';
import { adoptVm } from './vm/adopt.js';
import { bootVm } from './vm/boot.js';
import { captureVm } from './vm/capture.js';
import type { QemuContext } from './vm/context.js';
import { haltVm } from './vm/halt.js';
import type { LiveVm } from './vm/live-vm.js';
import { releaseVm } from './vm/release.js';
import { checkSnapshot, restoreVm } from './vm/restore.js';
import { shutdownVm } from './vm/shutdown.js';

export interface QemuDriverOptions {
  readonly host: QemuHost;
  readonly stateDir: string;
  readonly maxMemSizeMib: number;
  readonly bootSilenceMs: number;
  readonly probe: () => Promise<HostReport>;
}

const MAX_VCPU_COUNT = 32;

/** VMs on QEMU's `microvm` machine. */
export class QemuDriver implements VmDriver {
  readonly name = 'qemu';
  readonly capabilities: Capabilities;
  readonly steps = [
    'prepare:disks',
    'boot:started',
    'boot:ready',
    ...PAUSE_STEPS,
    ...SHUTDOWN_STEPS,
    'capture:state',
    'capture:memory',
    'capture:disks',
    'restore:disks',
    'restore:started',
    'restore:loaded',
  ];
  readonly #options: QemuDriverOptions;
  readonly #context: QemuContext;
  readonly #consoles = new Consoles();
  #events: DriverEvents = { ended: () => undefined };

  constructor(options: QemuDriverOptions) {
    this.#options = options;
    this.capabilities = capabilitiesOf(options.maxMemSizeMib);
    this.#context = {
      host: options.host,
      table: new VmTable(),
      ownerDeath: new OwnerDeathWatcher(options.stateDir),
      events: { ended: (instanceId: string, ending: VmEnding) => this.#events.ended(instanceId, ending) },
      bootSilenceMs: options.bootSilenceMs,
    };
  }

  async open(events: DriverEvents): Promise<void> {
    this.#events = events;
  }

  probe(): Promise<HostReport> {
    return this.#options.probe();
  }

  checkSpec(spec: ResolvedVmSpec): Promise<void> {
    return checkSpecFiles(spec);
  }

  plan(vm: Omit<DriverVm, 'plan' | 'vmm'>): JsonObject {
    return makePlan(vm.spec);
  }

  async prepare(vm: DriverVm, run: Run): Promise<VmmInfo> {
    await makeDisks(readPlan(vm.plan).drives, folderOf(vm), run);
    await run.step('prepare:disks');
    return {};
  }

  boot(vm: DriverVm, run: Run): Promise<VmmInfo> {
    return bootVm(this.#context, vm, run);
  }

  async pause(vm: DriverVm, run: Run): Promise<void> {
    return pauseVm(this.#liveOf(vm), vm, run);
  }

  async resume(vm: DriverVm, how: Resumption, run: Run): Promise<void> {
    return resumeVm(this.#liveOf(vm), vm, how, run);
  }

  shutdown(vm: DriverVm, run: Run): Promise<VmEnding> {
    return shutdownVm(this.#context, vm, run);
  }

  halt(vm: DriverVm): Promise<void> {
    return haltVm(this.#context, vm);
  }

  checkCapture(): void {
    // What it cannot, `capabilities` says.
  }

  capture(vm: DriverVm, target: CaptureTarget, run: Run): Promise<Captured> {
    return captureVm(this.#context, vm, target, run);
  }

  checkSnapshot(source: RestoreSource, spec: ResolvedVmSpec): Promise<void> {
    if (source.networkOverrides.length > 0) throw unsupported('spec.networkOverrides');
    return checkSnapshot(this.#context.host, source, spec);
  }

  restore(vm: DriverVm, source: RestoreSource, run: Run): Promise<VmmInfo> {
    return restoreVm(this.#context, vm, source, run);
  }

  async release(vm: DriverVm): Promise<readonly string[]> {
    const left = await releaseVm(this.#context, vm);
    this.#consoles.release(vm.instanceId);
    return left;
  }

  survey(): Promise<ReadonlySet<string>> {
    return surveyVmms(this.#options.stateDir);
  }

  adopt(vm: DriverVm, run: Run): Promise<Adoption> {
    return adoptVm(this.#context, vm, run);
  }

  async guest(vm: DriverVm): Promise<Guest> {
    return this.#liveOf(vm).agent.connect();
  }

  console(vm: DriverVm, options: ConsoleOptions): AsyncIterable<Buffer> {
    return this.#consoles.read(vm, options);
  }

  /** QEMU counts nothing of its own that outlasts a life: what there is is the kernel's. */
  async metrics({ instanceId }: DriverVm, { isLive }: MetricsRequest): Promise<DriverMetrics> {
    const live = isLive ? this.#context.table.get(instanceId) : undefined;
    const process = live === undefined ? undefined : await processMetrics(live.identity);
    return { vmm: { counters: {}, gauges: {} }, ...(process === undefined ? {} : { process }) };
  }

  async close(): Promise<void> {
    this.#consoles.close();
    for (const live of this.#context.table.all()) {
      live.close();
      this.#context.table.remove(live);
    }
    await this.#context.ownerDeath.close();
  }

  forgetSnapshot(): void {
    // Snapshots are kept in the state directory only, by the engine.
  }

  #liveOf(vm: DriverVm): LiveVm {
    return this.#context.table.liveOf(vm);
  }
}

function capabilitiesOf(maxMemSizeMib: number): Capabilities {
  return defineCapabilities({
    pause: true,
    memorySnapshot: true,
    diskSnapshot: true,
    rename: true,
    concurrentRestores: true,
    guestAgent: true,
    console: true,
    metrics: true,
    durable: true,
    adoption: true,
    ownerDeathWatcher: true,
    spec: { initrd: true, rootDrive: true, extraDrives: true, entropy: true },
    limits: { maxVcpuCount: MAX_VCPU_COUNT, maxMemSizeMib },
  });
}
