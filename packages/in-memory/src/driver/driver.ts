import {
  NOTHING_SWEPT,
  untilAborted,
  type Adoption,
  type Capabilities,
  type Captured,
  type CaptureTarget,
  type ConsoleOptions,
  type DriverConsole,
  type DriverEvents,
  type DriverGuestAgent,
  type DriverMetering,
  type DriverMetrics,
  type DriverPausing,
  type DriverSnapshots,
  type DriverSupport,
  type DriverVm,
  type Guest,
  type HostReport,
  type JsonObject,
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
import { checkConcurrency, checkSnapshot } from './check-snapshot.js';
import { checkHostFiles } from './check-host-files.js';
import type { InMemoryDriverOptions } from './driver-options.js';
import { DRIVER_STEPS } from './driver-points.js';
import type { GuestEnd } from '../guest/guest-end.js';
import { bootGuest, endedByRequest, flushGuest, tellGuest, type GuestRun } from '../guest/guest-life.js';
import { GuestSessions } from '../guest/guest-sessions.js';
import { reportHost } from './host-report.js';
import { present, type MemoryVm } from './memory-vm.js';
import { captured, imageOf, Snapshots } from './snapshots.js';
import { planOf, MethodRunner } from './method-runner.js';
import { VmFiles } from './vm-files.js';

const LOST: VmEnding = { reason: 'lost', exitCode: 'unknown', signal: null, lastLogLines: [] };

/** VMs that are nothing but memory, with the states, the errors and the rules of real ones. */
export class InMemoryDriver implements VmDriver {
  readonly name = 'in-memory';
  readonly support: DriverSupport;
  readonly pausing: DriverPausing | undefined;
  readonly snapshots: DriverSnapshots | undefined;
  readonly guestAgent: DriverGuestAgent | undefined;
  readonly console: DriverConsole | undefined;
  readonly metering: DriverMetering | undefined;
  readonly steps = DRIVER_STEPS;
  readonly #options: InMemoryDriverOptions;
  readonly #files: VmFiles;
  readonly #snapshots: Snapshots;
  readonly #sessions: GuestSessions;
  readonly #methods: MethodRunner;
  readonly #closing = new AbortController();
  #events: DriverEvents | undefined;

  constructor(options: InMemoryDriverOptions) {
    this.#options = options;
    this.#files = new VmFiles(options.hostCalls);
    this.#snapshots = new Snapshots(this.#files, options.world);
    const onEnded = (vm: MemoryVm, ending: VmEnding): void => this.#onEnded(vm, ending);
    this.#methods = new MethodRunner({
      ...options,
      contentAt: (path) => options.hostFiles?.[path] ?? options.images?.filesOf(path),
      files: this.#files,
      onEnded,
    });
    this.#sessions = new GuestSessions({
      guest: options.guest,
      surroundings: this.#methods,
      files: this.#files,
    });
    const { capabilities } = options;
    this.support = supportOf(capabilities);
    this.pausing = capabilities.pause ? this.#pausing() : undefined;
    this.snapshots =
      capabilities.memorySnapshot || capabilities.diskSnapshot ? this.#snapshotting(capabilities) : undefined;
    this.guestAgent = capabilities.guestAgent ? this.#guests() : undefined;
    this.console = capabilities.console ? { read: (vm, options) => this.#console(vm, options) } : undefined;
    this.metering = capabilities.metrics ? { metrics: (vm) => this.#metrics(vm) } : undefined;
  }

  async open(events: DriverEvents): Promise<Sweep> {
    this.#methods.rules.insist(this.#events === undefined, 'open, twice');
    this.#events = events;
    return NOTHING_SWEPT;
  }

  async probe(): Promise<HostReport> {
    return reportHost(this.name);
  }

  async checkSpec(spec: ResolvedVmSpec, { restoreFrom }: VmSpec): Promise<void> {
    this.#insistOpen('checkSpec');
    await this.#methods.enter('checkSpec');
    const { hostFiles, images } = this.#options;
    // A restored VM's disks come from the snapshot.
    if (hostFiles === undefined || restoreFrom !== undefined) return;
    // The engine names no file for the empty disk of a VM with an image.
    checkHostFiles(
      spec,
      (path) => path === '' || Object.hasOwn(hostFiles, path) || images?.filesOf(path) !== undefined,
    );
  }

  plan(vm: Pick<DriverVm, 'instanceId'>): JsonObject {
    return planOf(vm.instanceId);
  }

  async prepare(of: DriverVm, run: Run): Promise<VmmInfo> {
    this.#insistOpen('prepare');
    return this.#methods.performNew({ method: 'prepare', of, run }, async (action, vm) => {
      await action.step('prepare:disks');
      vm.become('cold');
      return {};
    });
  }

  async boot(of: DriverVm, run: Run): Promise<VmmInfo> {
    this.#insistOpen('boot');
    const found = this.#methods.findOrLoad(of);
    return this.#methods.perform({ method: 'boot', of, vm: found, run }, async (action) => {
      const vm = present(found);
      vm.beginLife({}, 1);
      vm.become('booting');
      await action.step('boot:started');
      await bootGuest(vm, this.#guestRun(of, run));
      action.check();
      tellGuest(vm, of.settings);
      action.progress('boot');
      await this.#files.save(vm, of.directory);
      await action.step('boot:ready');
      vm.become('running');
      return {};
    });
  }

  async #pause(of: DriverVm, run: Run): Promise<void> {
    this.#insistOpen('pause');
    const found = this.#methods.find(of);
    await this.#methods.perform({ method: 'pause', of, vm: found, run }, async (action) => {
      const vm = present(found);
      if (vm.condition === 'paused') return;
      vm.hold();
      await action.step('pause:held');
    });
  }

  async #resume(of: DriverVm, how: Resumption, run: Run): Promise<void> {
    this.#insistOpen('resume');
    const found = this.#methods.find(of);
    await this.#methods.perform({ method: 'resume', of, vm: found, run }, async (action) => {
      const vm = present(found);
      if (vm.condition === 'running') return;
      this.#methods.rules.insist(
        !vm.isFrozen || how === 'restore',
        `resume of "${of.vmId}" after a ${how}: its guest was restored and not repaired since`,
      );
      if (how === 'restore') {
        vm.epoch += 1;
        this.#sessions.close(vm); // nothing from the life before reaches this life
        await action.step('resume:repaired');
      }
      tellGuest(vm, of.settings);
      vm.letGo();
      await action.step('resume:released');
    });
  }

  async shutdown(of: DriverVm, run: Run): Promise<VmEnding> {
    this.#insistOpen('shutdown');
    const found = this.#methods.find(of);
    return this.#methods.perform({ method: 'shutdown', of, vm: found, run }, async (action) => {
      const vm = present(found);
      await action.step('shutdown:asked');
      const isFlushed = vm.condition === 'running' && (await flushGuest(vm, this.#guestRun(of, run)));
      action.check();
      // When the guest ended by itself first, `ending` says how.
      const own = vm.condition === 'ended' ? vm.ending : undefined;
      vm.ending = own ?? endedByRequest(vm, isFlushed);
      this.#clear(vm);
      await this.#files.save(vm, of.directory);
      await action.step('shutdown:halted');
      return vm.ending;
    });
  }

  async halt(of: DriverVm): Promise<void> {
    this.#insistOpen('halt');
    const vm = this.#methods.find(of);
    await this.#methods.perform({ method: 'halt', of, vm }, async () => {
      if (vm === undefined) return;
      this.#clear(vm);
      await this.#files.save(vm, of.directory);
    });
  }

  async #capture(of: DriverVm, target: CaptureTarget, run: Run): Promise<Captured> {
    this.#insistOpen('capture');
    const found = this.#methods.findOrLoad(of);
    return this.#methods.perform({ method: 'capture', of, vm: found, run }, async (action) => {
      const vm = present(found);
      this.#methods.rules.insistCapturable(vm, of, target, this.#options.capabilities);
      await this.#snapshots.write(imageOf(vm), target);
      if (target.memory) await action.step('capture:memory');
      await action.step('capture:disks');
      action.progress('capture');
      return captured(target, this.#options.cpuModel);
    });
  }

  async #checkSnapshot(source: RestoreSource, spec: ResolvedVmSpec): Promise<void> {
    this.#insistOpen('checkSnapshot');
    await this.#methods.enter('checkSnapshot');
    checkSnapshot(source, { ...this.#options, spec });
  }

  async #restore(of: DriverVm, source: RestoreSource, run: Run): Promise<VmmInfo> {
    this.#insistOpen('restore');
    return this.#methods.performNew({ method: 'restore', of, run }, async (action, vm) => {
      checkConcurrency(source, this.#options.capabilities, this.#options.world);
      if (source.memory) vm.memoryFrom = source.snapshotUid;
      const memory = await this.#snapshots.loadDisks(vm, source);
      await this.#files.save(vm, of.directory);
      await action.step('restore:disks');
      if (memory === undefined) {
        vm.become('cold');
      } else {
        vm.loadMemory(memory);
        await action.step('restore:memory');
        vm.hold();
      }
      action.progress('restore');
      return {};
    });
  }

  async release(of: DriverVm): Promise<readonly string[]> {
    this.#insistOpen('release');
    const vm = this.#methods.find(of);
    return this.#methods.perform({ method: 'release', of, vm }, async (action) => {
      if (vm !== undefined) {
        this.#clear(vm);
        vm.become('incomplete');
      }
      if (action.left.length === 0) this.#methods.remove(of);
      return action.left;
    });
  }

  async survey(): Promise<ReadonlySet<string>> {
    this.#insistOpen('survey');
    const living = [...this.#options.world.vms.values()].filter((vm) => vm.hasVmm);
    return new Set(living.map((vm) => vm.instanceId));
  }

  async adopt(of: DriverVm, run: Run): Promise<Adoption> {
    this.#insistOpen('adopt');
    const vm = this.#methods.find(of);
    return this.#methods.perform({ method: 'adopt', of, vm, run }, async () => {
      if (vm?.condition === 'running' || vm?.condition === 'paused') return { state: vm.condition };
      return { state: 'ended', ending: vm?.ending ?? LOST };
    });
  }

  async #guest(of: DriverVm): Promise<Guest> {
    this.#insistOpen('guest');
    await this.#methods.enter('guest', of.vmId);
    return this.#sessions.open(this.#methods.find(of), of);
  }

  async #configure(of: DriverVm, run: Run): Promise<void> {
    this.#insistOpen('configure');
    const found = this.#methods.find(of);
    await this.#methods.perform({ method: 'configure', of, vm: found, run }, async (action) => {
      const { signal } = run;
      const guest = await untilAborted(this.#sessions.open(found, of), signal);
      if (of.settings !== undefined) await guest.configure(of.settings, { signal });
      await action.step('configure:told');
    });
  }

  async *#console(of: DriverVm, options: ConsoleOptions): AsyncGenerator<Buffer> {
    this.#insistOpen('console');
    const vm = this.#methods.findOrLoad(of);
    await vm?.loading;
    const signals = [this.#closing.signal, ...(options.signal === undefined ? [] : [options.signal])];
    if (vm !== undefined) yield* vm.console.read({ ...options, signal: AbortSignal.any(signals) });
  }

  async #metrics(of: DriverVm): Promise<DriverMetrics> {
    this.#insistOpen('metrics');
    const vm = this.#methods.findOrLoad(of);
    await vm?.loading;
    if (vm === undefined) return { vmm: { counters: {}, gauges: {} } };
    return {
      vmm: { counters: { 'console.bytes': vm.console.endOffset }, gauges: { 'guest.epoch': vm.epoch } },
    };
  }

  async close(): Promise<void> {
    // A driver that was never opened is closed as well, by whoever could not open the rest.
    this.#closing.abort();
    this.#sessions.closeAll();
    if (!this.#options.isShared) this.#options.world.vms.clear();
  }

  /**
   * Makes a guest or its VMM end by itself, as a test wishes. Throws where there is none, or where a paused
   * guest would have to act.
   */
  endGuest(instanceId: string, end: GuestEnd): void {
    this.#methods.endNamed(instanceId, end);
  }

  #onEnded(vm: MemoryVm, ending: VmEnding): void {
    this.#sessions.close(vm);
    // A shutdown in progress reports the end by its answer.
    if (vm.turn?.method !== 'shutdown') this.#events?.ended(vm.instanceId, ending);
  }

  /** The VMM is gone. */
  #clear(vm: MemoryVm): void {
    vm.endLife();
    if (vm.condition !== 'incomplete') vm.become('cold');
    this.#sessions.close(vm);
  }

  #guestRun(of: DriverVm, run: Run): GuestRun {
    const { guest: script } = this.#options;
    return { vmId: of.vmId, script, surroundings: this.#methods, signal: run.signal };
  }

  #guests(): DriverGuestAgent {
    return { guest: (vm) => this.#guest(vm), configure: (vm, run) => this.#configure(vm, run) };
  }

  #pausing(): DriverPausing {
    return {
      pause: (vm, run) => this.#pause(vm, run),
      resume: (vm, how, run) => this.#resume(vm, how, run),
    };
  }

  #snapshotting(capabilities: Capabilities): DriverSnapshots {
    const { memorySnapshot, diskSnapshot, concurrentRestores, networkOverrides } = capabilities;
    return {
      memory: memorySnapshot,
      disks: diskSnapshot,
      concurrentRestores,
      networkOverrides,
      capture: (vm, target, run) => this.#capture(vm, target, run),
      checkSnapshot: (source, spec) => this.#checkSnapshot(source, spec),
      restore: (vm, source, run) => this.#restore(vm, source, run),
      forget: (snapshotUid) => this.#forgetSnapshot(snapshotUid),
    };
  }

  #forgetSnapshot(snapshotUid: string): void {
    this.#snapshots.forget(snapshotUid);
  }

  #insistOpen(method: string): void {
    const isOpen = this.#events !== undefined && !this.#closing.signal.aborted;
    this.#methods.rules.insist(isOpen, `${method} of a driver that is not open`);
  }
}

function supportOf({ rename, adoption, spec, limits }: Capabilities): DriverSupport {
  return { rename, adoption, spec, limits };
}
