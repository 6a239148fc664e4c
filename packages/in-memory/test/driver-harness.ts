import { randomBytes } from 'node:crypto';
import {
  resolveVmSpec,
  systemClock,
  type Captured,
  type CaptureTarget,
  type DriverVm,
  type JobProgress,
  type RestoreSource,
  type Run,
  type VmEnding,
  type VmSpec,
} from '@microvm/runtime';
import { capabilitiesOf } from '../src/driver/capabilities.js';
import type { InMemoryDriverOptions } from '../src/driver/driver-options.js';
import { InMemoryDriver } from '../src/driver/driver.js';
import { createFaults, createWorld, type Faults, type World } from '../src/index.js';

export interface Ended {
  readonly instanceId: string;
  readonly ending: VmEnding;
}

export interface Harness {
  readonly driver: InMemoryDriver;
  readonly faults: Faults;
  readonly world: World;
  /** Messages of the rules that were broken. */
  readonly breaches: string[];
  /** What the driver told of, in order. */
  readonly ended: Ended[];
}

/** A driver that nobody has opened. */
export function makeDriver(options: Partial<InMemoryDriverOptions> = {}): InMemoryDriver {
  return new InMemoryDriver({
    capabilities: capabilitiesOf(undefined, options.isShared ?? false),
    clock: systemClock,
    guest: {},
    latencies: {},
    hostFiles: undefined,
    images: undefined,
    diskLimitBytes: 64 << 20,
    cpuModel: 'virtual',
    isShared: false,
    onBreach: () => undefined,
    hostCalls: undefined,
    world: createWorld(),
    faults: createFaults(),
    ...options,
  });
}

/** An open driver, as the engine would have it. */
export async function openDriver(options: Partial<InMemoryDriverOptions> = {}): Promise<Harness> {
  const faults = options.faults ?? createFaults();
  const world = options.world ?? createWorld();
  const breaches: string[] = [];
  const onBreach = ({ message }: Error): number => breaches.push(message);
  const driver = makeDriver({ onBreach, ...options, world, faults });
  const ended: Ended[] = [];
  await driver.open({ ended: (instanceId, ending) => ended.push({ instanceId, ending }) });
  return { driver, faults, world, ended, breaches };
}

/** A VM as the engine names it to the driver. */
export function makeVm(driver: InMemoryDriver, spec: VmSpec = {}, vmId = 'vm'): DriverVm {
  const bare = {
    instanceId: randomBytes(16).toString('hex'),
    vmId,
    spec: resolveVmSpec(spec, {}),
    directory: undefined,
  };
  return { ...bare, plan: driver.plan(bare), vmm: undefined, settings: undefined };
}

export interface RecordedRun extends Run {
  readonly steps: string[];
  readonly told: JobProgress[];
}

/** What a method runs with; notes its steps. */
export function makeRun(signal: AbortSignal = new AbortController().signal): RecordedRun {
  const steps: string[] = [];
  const told: JobProgress[] = [];
  return {
    signal,
    steps,
    told,
    progress: (progress) => told.push(progress),
    step: async (name) => void steps.push(name),
  };
}

/** Brings a VM into the condition in which a guest runs. */
export async function runningVm(driver: InMemoryDriver, spec?: VmSpec, vmId?: string): Promise<DriverVm> {
  const vm = makeVm(driver, spec, vmId);
  await driver.prepare(vm, makeRun());
  await driver.boot(vm, makeRun());
  return vm;
}

export function makeTarget(memory: boolean): CaptureTarget {
  return { snapshotUid: randomBytes(16).toString('hex'), directory: undefined, memory };
}

/** The source that a capture gave, as the engine makes one from its manifest. */
export function sourceOf(target: CaptureTarget, captured: Captured): RestoreSource {
  const { snapshotUid, directory, memory } = target;
  const { vmmVersion, compatibility } = captured;
  const parts = captured.parts.map((part) => ({ ...part, sizeBytes: 0 }));
  return { snapshotUid, directory, memory, parts, vmmVersion, compatibility, networkOverrides: [] };
}

/** A memory snapshot of a running VM, as the engine takes it. */
export async function snapshotOf(driver: InMemoryDriver, vm: DriverVm): Promise<RestoreSource> {
  const target = makeTarget(true);
  await driver.pausing!.pause(vm, makeRun());
  const captured = await driver.snapshots!.capture(vm, target, makeRun());
  await driver.pausing!.resume(vm, 'pause', makeRun());
  return sourceOf(target, captured);
}
