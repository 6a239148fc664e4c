import { delay, type Clock, type DriverVm, type Run, type VmEnding } from '@microvm/runtime';
import { Action } from './action.js';
import { initialDisks } from './disks.js';
import type { DriverMethod } from './driver-points.js';
import type { Faults } from '../faults.js';
import type { DiskContent } from '../fs/disk-content.js';
import { endingFacts, lastWords, type GuestEnd } from '../guest/guest-end.js';
import type { GuestSurroundings } from '../guest/guest-handle.js';
import { LOG_LINES, MemoryVm } from './memory-vm.js';
import { Rules, type OnBreach, type VmMethod } from '../rules.js';
import type { VmFiles } from './vm-files.js';
import type { World } from '../world.js';

export type Latencies = Partial<Readonly<Record<DriverMethod, number>>>;

export interface MethodRunnerParts {
  readonly clock: Clock;
  readonly faults: Faults;
  /** In milliseconds. */
  readonly latencies: Latencies;
  readonly world: World;
  readonly files: VmFiles;
  /** What a drive made from a file of the host holds at first. */
  readonly contentAt: (path: string) => DiskContent | undefined;
  /** What each disk may hold. */
  readonly diskLimitBytes: number;
  readonly onBreach: OnBreach;
  /** A VM ended by itself. */
  onEnded(vm: MemoryVm, ending: VmEnding): void;
}

export interface Call {
  readonly method: VmMethod;
  readonly of: DriverVm;
  /** Undefined for a VM that the driver does not have. */
  readonly vm: MemoryVm | undefined;
  readonly run?: Run | undefined;
}

/** What the plan of a VM in memory names. */
export function planOf(instanceId: string): { readonly memory: string } {
  return { memory: instanceId };
}

/** Runs the driver's methods on VMs: one at a time per VM, by the rules, with latency and faults. */
export class MethodRunner implements GuestSurroundings {
  readonly rules: Rules;
  readonly clock: Clock;
  readonly #parts: MethodRunnerParts;
  /** VMs that are gone although their folders may be there. */
  readonly #released = new Set<string>();

  constructor(parts: MethodRunnerParts) {
    this.#parts = parts;
    this.clock = parts.clock;
    this.rules = new Rules(parts.onBreach);
  }

  get #vms(): Map<string, MemoryVm> {
    return this.#parts.world.vms;
  }

  find(of: DriverVm): MemoryVm | undefined {
    return this.#vms.get(of.instanceId);
  }

  /** Finds also a VM whose process is gone and that left a folder, with its disks and its console. */
  findOrLoad(of: DriverVm): MemoryVm | undefined {
    const found = this.find(of);
    if (found !== undefined || of.directory === undefined || this.#released.has(of.instanceId)) return found;
    return this.#load(of, of.directory);
  }

  remove(of: DriverVm): void {
    this.find(of)?.console.close();
    this.#vms.delete(of.instanceId);
    if (of.directory !== undefined) this.#released.add(of.instanceId);
  }

  async perform<T>(call: Call, body: (action: Action) => Promise<T>): Promise<T> {
    const { method, of, vm, run } = call;
    this.#insist(call);
    const { faults } = this.#parts;
    const crash = (crashed: MemoryVm, ending: VmEnding): void => this.#finish(crashed, ending);
    const action = new Action({ method, vmId: of.vmId, vm, run, faults, crash });
    if (vm !== undefined && !action.isLook) vm.turn = action.turn;
    try {
      await this.#delay(method, run?.signal);
      if (vm?.loading !== undefined) await this.#untilLoaded(vm);
      await action.enter();
      return await body(action);
    } finally {
      if (vm?.turn === action.turn) vm.turn = undefined;
    }
  }

  /** As `perform`, for a VM that must not be there yet. */
  performNew<T>(call: Omit<Call, 'vm'>, body: (action: Action, vm: MemoryVm) => Promise<T>): Promise<T> {
    this.rules.insistAllowed(call.method, this.find(call.of), call.of.vmId);
    const vm = this.#make(call.of);
    return this.perform({ ...call, vm }, (action) => body(action, vm));
  }

  /** The guest or its VMM ends by itself. */
  end(vm: MemoryVm, end: GuestEnd): void {
    vm.console.append(lastWords(end));
    this.#finish(vm, { ...endingFacts(end), lastLogLines: [] });
  }

  /** As `end`, of the VM with this id. Throws where no guest can end so. */
  endNamed(instanceId: string, end: GuestEnd): void {
    const vm = this.#vms.get(instanceId);
    const condition = vm?.condition ?? 'absent';
    const hasGuest = condition === 'running' || condition === 'booting';
    const canEnd = hasGuest || (condition === 'paused' && end.reason === 'vmm-exit');
    if (vm === undefined || !canEnd) throw new Error(`no ${end.reason} there: the VM is ${condition}`);
    this.end(vm, end);
  }

  /** Latency and faults of a method that takes no turn on a VM. */
  async enter(method: DriverMethod, vmId = ''): Promise<void> {
    await this.#delay(method, undefined);
    if (!this.#parts.faults.isEmpty) await this.#parts.faults.strike({ at: method, vmId, signal: undefined });
  }

  #finish(vm: MemoryVm, facts: VmEnding): void {
    if (!vm.hasVmm || vm.condition === 'ended') return;
    const lines = facts.lastLogLines.length > 0 ? facts.lastLogLines : vm.console.lastLines(LOG_LINES);
    vm.ending = { ...facts, lastLogLines: lines };
    vm.endLife();
    vm.become('ended');
    this.#parts.onEnded(vm, vm.ending);
  }

  async #delay(method: DriverMethod, signal: AbortSignal | undefined): Promise<void> {
    const latencyMs = this.#parts.latencies[method] ?? 0;
    if (latencyMs > 0) await delay(this.clock, latencyMs, signal);
  }

  #insist({ method, of, vm }: Call): void {
    const { rules } = this;
    const isOwnPlan = of.plan['memory'] === of.instanceId;
    rules.insist(isOwnPlan, `${method} of "${of.vmId}" with a plan that is not its own`);
    const isNew = method === 'prepare' || method === 'restore';
    if (!isNew) rules.insistAllowed(method, vm, of.vmId);
    rules.insistAlone(method, vm, of.vmId);
  }

  #make(of: DriverVm): MemoryVm {
    const vm = new MemoryVm(of, initialDisks(of.spec, this.#parts.contentAt), {
      limitBytes: this.#parts.diskLimitBytes,
      now: () => this.clock.now(),
    });
    this.#vms.set(of.instanceId, vm);
    return vm;
  }

  #load(of: DriverVm, directory: string): MemoryVm {
    const vm = this.#make(of);
    vm.condition = 'cold';
    vm.loading = this.#read(vm, directory);
    vm.loading.catch(() => undefined); // whoever waits for it gets the error
    return vm;
  }

  async #read(vm: MemoryVm, directory: string): Promise<void> {
    const { files } = this.#parts;
    const disks = await files.readDisks(directory);
    if (disks !== undefined) vm.loadDisks(disks);
    await files.loadConsole(vm, directory);
  }

  async #untilLoaded(vm: MemoryVm): Promise<void> {
    try {
      await vm.loading;
      vm.loading = undefined;
    } catch (error) {
      this.#vms.delete(vm.instanceId); // so that the next call reads the files again
      throw error;
    }
  }
}
