import { mkdir } from 'node:fs/promises';
import {
  openOwnerId,
  planNewDrives,
  PROCESS_STEPS,
  ProcessDriver,
  type DiskTarget,
  type FoundState,
  type ProcessDriverOptions,
} from '@microvm/driver-kit';
import type { ProcessIdentity } from '@microvm/native';
import type {
  DriverEvents,
  DriverMetrics,
  DriverSupport,
  DriverVm,
  JsonObject,
  KnownVm,
  Limits,
  MetricsRequest,
  PlanRequest,
  ResolvedVmSpec,
  Run,
  Sweep,
  VmEnding,
  VmSpec,
} from '@microvm/runtime';
import { Cgroups } from './host/cgroups.js';
import { installExecFile, type HostFacts } from './host/host-facts.js';
import { sweepOrphans } from './host/sweep.js';
import { UidPool } from './host/uid-pool.js';
import { diskTarget, jailsFolder, makePlan, readPlan } from './host/vm-plan.js';
import { MetricsLedgers } from './metrics/metrics-ledgers.js';
import { vmMetrics } from './metrics/metrics.js';
import { surveyVmms, vmmsOf } from './process/find-vmm.js';
import { lifeOf, stateOf } from './vm/adopt.js';
import { bootVm } from './vm/boot.js';
import { captureVm } from './vm/capture.js';
import { checkSpec } from './vm/check-spec.js';
import { checkSnapshot } from './vm/compatibility.js';
import { launchConfigured } from './vm/configure.js';
import type { FirecrackerContext } from './vm/context.js';
import { firecrackerVm, type FirecrackerVm } from './vm/firecracker-vm.js';
import { clearLife } from './vm/halt.js';
import { readLife } from './vm/life.js';
import type { LiveVm } from './vm/live-vm.js';
import { checkCapture, checkPause } from './vm/pause.js';
import { removeVmFiles } from './vm/release.js';
import { restoreVm } from './vm/restore.js';
import { finishShutdown } from './vm/shutdown.js';

export interface FirecrackerDriverOptions extends ProcessDriverOptions {
  readonly hostFacts: HostFacts;
  readonly maxMemSizeMib: number;
  /** The registry in which the runtimes of this host say which user ids are theirs. */
  readonly registryDir: string;
}

const MAX_VCPU_COUNT = 32;

/** VMs on Firecracker, each in the official jail unless its spec says otherwise. */
export class FirecrackerDriver extends ProcessDriver<FirecrackerVm, LiveVm> {
  readonly name = 'firecracker';
  readonly support: DriverSupport;
  readonly steps = [
    ...['prepare', 'boot', 'restore'].flatMap((method) => [
      `${method}:staged`,
      `${method}:spawned`,
      `${method}:configured`,
    ]),
    'boot:started',
    'boot:ready',
    ...PROCESS_STEPS,
    'capture:memory',
    'restore:loaded',
  ];
  override readonly guestAgent = this.agentOfGuests();
  override readonly snapshots = this.snapshotsBy({
    memory: true,
    disks: true,
    concurrentRestores: true,
    networkOverrides: true,
    checkCapture: (vm, memory) => checkCapture(this.#context.hostFacts.version, vm, memory),
    checkSnapshot: async (source, spec) => checkSnapshot(this.#context.hostFacts, source, spec),
    capture: (vm, target, run) => captureVm(this.#context, vm, target, run),
    restore: (vm, source, run) => restoreVm(this.#context, vm, source, run),
  });
  readonly #registryDir: string;
  readonly #context: FirecrackerContext;
  #uids: UidPool | undefined;
  /** The users of jailed VMs that were made by earlier owners, by instance. */
  #users: ReadonlyMap<string, number> = new Map();

  constructor(options: FirecrackerDriverOptions) {
    super(options);
    const { hostFacts, stateDir, registryDir } = options;
    this.support = supportOf(options);
    this.#registryDir = registryDir;
    this.#context = {
      hostFacts,
      stateDir,
      cgroups: new Cgroups(hostFacts.cgroupMount),
      table: this.table,
      metrics: new MetricsLedgers(),
    };
  }

  override async open(events: DriverEvents, known: readonly KnownVm[]): Promise<Sweep> {
    const { hostFacts, stateDir, cgroups } = this.#context;
    await super.open(events, known);
    const ownerId = await openOwnerId(stateDir);
    cgroups.open(ownerId);
    await installExecFile(hostFacts);
    await mkdir(jailsFolder(stateDir), { recursive: true, mode: 0o700 });
    const { sweep, users } = await sweepOrphans({ stateDir, cgroups, known });
    this.#users = usersOf(known);
    if (hostFacts.jailerPath === undefined) return sweep;
    const hasCgroup = (otherId: string): Promise<boolean> => cgroups.hasAnyOf(otherId);
    const registryDir = this.#registryDir;
    this.#uids = await UidPool.open({ ownerId, stateDir, registryDir, hasCgroup }, [
      ...this.#users.values(),
      ...users,
    ]);
    return sweep;
  }

  checkSpec(spec: ResolvedVmSpec, given: VmSpec): Promise<void> {
    return checkSpec(this.#context.hostFacts, spec, given);
  }

  async plan({ instanceId, spec, source }: PlanRequest): Promise<JsonObject> {
    const { hostFacts, cgroups } = this.#context;
    const drives = await planNewDrives(spec, source);
    const isJailed = spec.jail ?? hostFacts.jailerPath !== undefined;
    return makePlan({
      instanceId,
      spec,
      drives,
      uid: isJailed ? (this.#uids?.take() ?? null) : null,
      hasCgroup: cgroups.areAvailable,
    });
  }

  override async release(vm: DriverVm): Promise<readonly string[]> {
    const left = await super.release(vm);
    const { uid } = readPlan(vm.plan);
    if (left.length === 0 && uid !== null) this.#uids?.free(uid);
    return left;
  }

  survey(): Promise<ReadonlySet<string>> {
    return surveyVmms(this.#context.stateDir, this.#users);
  }

  override async close(): Promise<void> {
    const { cgroups, metrics } = this.#context;
    await super.close();
    await metrics.close();
    await this.#uids?.close();
    await cgroups.removeEmpty();
  }

  protected vmOf(vm: DriverVm): FirecrackerVm {
    return firecrackerVm(this.#context, vm);
  }

  protected disksOf({ plan, directory }: FirecrackerVm): DiskTarget {
    return diskTarget(plan, directory);
  }

  protected override prepareVm(vm: FirecrackerVm, run: Run): Promise<LiveVm> {
    return launchConfigured(this.#context, vm, 'prepare', run);
  }

  protected bootVm(vm: FirecrackerVm, run: Run): Promise<LiveVm> {
    return bootVm(this.#context, vm, run);
  }

  protected override checkPause(vm: FirecrackerVm): void {
    checkPause(this.#context.hostFacts.version, vm);
  }

  protected finishShutdown(
    vm: FirecrackerVm,
    live: LiveVm,
    ending: VmEnding | undefined,
    signal: AbortSignal,
  ): Promise<VmEnding> {
    return finishShutdown(this.#context, { vm, live, ending }, signal);
  }

  protected clearLife(vm: FirecrackerVm): Promise<void> {
    return clearLife(this.#context, vm);
  }

  protected removeFiles(vm: FirecrackerVm): Promise<readonly string[]> {
    return removeVmFiles(this.#context, vm);
  }

  protected vmmsOf(vm: FirecrackerVm): Promise<readonly ProcessIdentity[]> {
    return vmmsOf(vm);
  }

  protected lifeOf(vm: FirecrackerVm, identity: ProcessIdentity): Promise<LiveVm> {
    return lifeOf(this.#context, vm, identity);
  }

  protected stateOf(live: LiveVm, limits: Limits): Promise<FoundState> {
    return stateOf(live, limits);
  }

  protected override async consoleStartOf({ directory }: FirecrackerVm): Promise<number> {
    return (await readLife(directory)).consoleStartBytes;
  }

  protected override metricsOf(
    vm: FirecrackerVm,
    live: LiveVm | undefined,
    how: MetricsRequest,
  ): Promise<DriverMetrics> {
    return vmMetrics(this.#context, vm, live, how);
  }
}

function usersOf(known: readonly KnownVm[]): ReadonlyMap<string, number> {
  const users = known.map(({ instanceId, plan }) => [instanceId, readPlan(plan).uid] as const);
  return new Map(users.filter((user): user is [string, number] => user[1] !== null));
}

function supportOf({ hostFacts, maxMemSizeMib }: FirecrackerDriverOptions): DriverSupport {
  return {
    rename: true,
    adoption: true,
    ownerDeathWatcher: true,
    spec: {
      initrd: true,
      rootDrive: true,
      image: true,
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
      resourceLimits: hostFacts.cgroupMount !== undefined,
      jail: hostFacts.jailerPath !== undefined,
      consoleSwitch: true,
    },
    limits: { maxVcpuCount: MAX_VCPU_COUNT, maxMemSizeMib },
  };
}
