import { mkdir } from 'node:fs/promises';
import {
  Consoles,
  folderOf,
  makeDisks,
  openOwnerId,
  OwnerDeathWatcher,
  PAUSE_STEPS,
  pauseVm,
  resumeVm,
  SHUTDOWN_STEPS,
  VmTable,
} from '@microvm/driver-kit';
import {
  defineCapabilities,
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
  type KnownVm,
  type MetricsRequest,
  type ResolvedVmSpec,
  type RestoreSource,
  type Resumption,
  type Run,
  type VmDriver,
  type VmEnding,
  type VmmInfo,
} from '@microvm/runtime';
import { Cgroups } from './host/cgroups.js';
import { installExecFile, type FirecrackerHost } from './host/firecracker-host.js';
import { SharedFiles } from './host/shared-files.js';
import { sweepOrphans } from './host/sweep.js';
import { UidPool } from './host/uid-pool.js';
import { jailsFolder, makePlan, readPlan } from './host/vm-plan.js';
import { surveyVmms } from './process/find-vmm.js';
import { adoptVm } from './vm/adopt.js';
import { bootVm } from './vm/boot.js';
import { captureVm } from './vm/capture.js';
import { checkSpec } from './vm/check-spec.js';
import { checkSnapshot } from './vm/compatibility.js';
import { launchConfigured } from './vm/configure.js';
import type { FirecrackerContext } from './vm/context.js';
import { haltVm } from './vm/halt.js';
import type { LiveVm } from './vm/live-vm.js';
import { vmMetrics } from './metrics/metrics.js';
import { MetricsLedgers } from './metrics/metrics-ledgers.js';
import { checkCapture, checkPause } from './vm/pause.js';
import { releaseVm } from './vm/release.js';
import { giveDisks, restoreVm } from './vm/restore.js';
import { shutdownVm } from './vm/shutdown.js';

export interface FirecrackerDriverOptions {
  readonly host: FirecrackerHost;
  readonly stateDir: string;
  readonly maxMemSizeMib: number;
  /** Where the runtimes of this host say which user ids are theirs. */
  readonly registryDir: string;
  readonly probe: () => Promise<HostReport>;
}

const MAX_VCPU_COUNT = 32;

/** VMs on Firecracker, each in the official jail unless its spec says otherwise. */
export class FirecrackerDriver implements VmDriver {
  readonly name = 'firecracker';
  readonly capabilities: Capabilities;
  readonly steps = [
    'prepare:disks',
    ...['prepare', 'boot', 'restore'].flatMap((method) => [`${method}:staged`, `${method}:spawned`]),
    'prepare:configured',
    'boot:configured',
    'boot:started',
    'boot:ready',
    ...PAUSE_STEPS,
    ...SHUTDOWN_STEPS,
    'capture:memory',
    'capture:disks',
    'restore:disks',
    'restore:loaded',
  ];
  readonly #options: FirecrackerDriverOptions;
  readonly #context: FirecrackerContext;
  readonly #consoles = new Consoles();
  #uids: UidPool | undefined;
  #events: DriverEvents = { ended: () => undefined };

  constructor(options: FirecrackerDriverOptions) {
    const { host, stateDir } = options;
    this.#options = options;
    this.capabilities = capabilitiesOf(options);
    this.#context = {
      host,
      stateDir,
      cgroups: new Cgroups(host.cgroupMount),
      table: new VmTable<LiveVm>(),
      ownerDeath: new OwnerDeathWatcher(stateDir),
      sharedFiles: new SharedFiles(stateDir),
      metrics: new MetricsLedgers(),
      events: { ended: (instanceId: string, ending: VmEnding) => this.#events.ended(instanceId, ending) },
    };
  }

  async open(events: DriverEvents, known: readonly KnownVm[]): Promise<void> {
    const { host, stateDir, cgroups, sharedFiles } = this.#context;
    this.#events = events;
    const ownerId = await openOwnerId(stateDir);
    cgroups.open(ownerId);
    await sharedFiles.open();
    await installExecFile(host);
    await mkdir(jailsFolder(stateDir), { recursive: true, mode: 0o700 });
    const left = await sweepOrphans({ stateDir, cgroups, known });
    if (host.jailerPath === undefined) return;
    const used = known.map(({ plan }) => readPlan(plan).uid).filter((uid) => uid !== null);
    const hasCgroup = (otherId: string): Promise<boolean> => cgroups.hasAnyOf(otherId);
    const { registryDir } = this.#options;
    this.#uids = await UidPool.open({ ownerId, stateDir, registryDir, hasCgroup }, [...used, ...left]);
  }

  probe(): Promise<HostReport> {
    return this.#options.probe();
  }

  checkSpec(spec: ResolvedVmSpec): Promise<void> {
    return checkSpec(this.#context.host, spec);
  }

  plan({ instanceId, spec }: Omit<DriverVm, 'plan' | 'vmm'>): JsonObject {
    const { host, cgroups } = this.#context;
    const isJailed = spec.jail ?? host.jailerPath !== undefined;
    return makePlan({
      instanceId,
      spec,
      uid: isJailed ? (this.#uids?.take() ?? null) : null,
      hasCgroup: cgroups.areAvailable,
    });
  }

  async prepare(vm: DriverVm, run: Run): Promise<VmmInfo> {
    const plan = readPlan(vm.plan);
    await makeDisks(plan.drives, folderOf(vm), run);
    await giveDisks(plan, folderOf(vm));
    await run.step('prepare:disks');
    const live = await launchConfigured(this.#context, vm, 'prepare', run);
    return { vmm: live.identity };
  }

  boot(vm: DriverVm, run: Run): Promise<VmmInfo> {
    return bootVm(this.#context, vm, run);
  }

  async pause(vm: DriverVm, run: Run): Promise<void> {
    checkPause(this.#context.host.version, vm);
    await pauseVm(this.#context.table.liveOf(vm), vm, run);
  }

  resume(vm: DriverVm, how: Resumption, run: Run): Promise<void> {
    return resumeVm(this.#context.table.liveOf(vm), vm, how, run);
  }

  shutdown(vm: DriverVm, run: Run): Promise<VmEnding> {
    return shutdownVm(this.#context, vm, run);
  }

  halt(vm: DriverVm): Promise<void> {
    return haltVm(this.#context, vm);
  }

  checkCapture(vm: DriverVm, memory: boolean): void {
    checkCapture(this.#context.host.version, vm, memory);
  }

  capture(vm: DriverVm, target: CaptureTarget, run: Run): Promise<Captured> {
    return captureVm(this.#context, vm, target, run);
  }

  checkSnapshot(source: RestoreSource, spec: ResolvedVmSpec): Promise<void> {
    const plan = makePlan({ instanceId: '', spec, uid: null, hasCgroup: false });
    return checkSnapshot(this.#context.host, source, spec, plan);
  }

  restore(vm: DriverVm, source: RestoreSource, run: Run): Promise<VmmInfo> {
    return restoreVm(this.#context, vm, source, run);
  }

  async release(vm: DriverVm): Promise<readonly string[]> {
    const left = await releaseVm(this.#context, vm);
    this.#consoles.release(vm.instanceId);
    const { uid } = readPlan(vm.plan);
    if (left.length === 0 && uid !== null) this.#uids?.free(uid);
    return left;
  }

  survey(): Promise<ReadonlySet<string>> {
    return surveyVmms(this.#options.stateDir);
  }

  adopt(vm: DriverVm, run: Run): Promise<Adoption> {
    return adoptVm(this.#context, vm, run);
  }

  guest(vm: DriverVm): Promise<Guest> {
    return this.#context.table.liveOf(vm).agent.connect();
  }

  console(vm: DriverVm, options: ConsoleOptions): AsyncIterable<Buffer> {
    return this.#consoles.read(vm, options);
  }

  metrics(vm: DriverVm, how: MetricsRequest): Promise<DriverMetrics> {
    return vmMetrics(this.#context, vm, how);
  }

  async close(): Promise<void> {
    this.#consoles.close();
    for (const live of this.#context.table.all()) {
      live.close();
      this.#context.table.remove(live);
    }
    await this.#context.metrics.close();
    await this.#context.ownerDeath.close();
    await this.#uids?.close();
    await this.#context.cgroups.removeEmpty();
  }

  forgetSnapshot(): void {
    // Snapshots are kept in the state directory only, by the engine.
  }
}

function capabilitiesOf({ host, maxMemSizeMib }: FirecrackerDriverOptions): Capabilities {
  return defineCapabilities({
    pause: true,
    memorySnapshot: true,
    diskSnapshot: true,
    rename: true,
    concurrentRestores: true,
    networkOverrides: true,
    guestAgent: true,
    console: true,
    metrics: true,
    durable: true,
    adoption: true,
    ownerDeathWatcher: true,
    spec: {
      initrd: true,
      rootDrive: true,
      extraDrives: true,
      rateLimiters: true,
      driveTuning: true,
      smt: true,
      cpuTemplate: true,
      trackDirtyPages: true,
      hugePages: true,
      networkInterfaces: true,
      vsock: true,
      balloon: true,
      entropy: true,
      mmds: true,
      resourceLimits: host.cgroupMount !== undefined,
      jail: host.jailerPath !== undefined,
      consoleSwitch: true,
    },
    limits: { maxVcpuCount: MAX_VCPU_COUNT, maxMemSizeMib },
  });
}
