import { createFirecrackerRuntime } from '@microvm/firecracker';
import type { VmRuntime, VmSpec } from '@microvm/runtime';
import type { PhaseTimes } from './by-hand/firecracker.js';
import type { FirecrackerPrograms } from './firecracker-programs.js';
import { summarize } from './statistics.js';

/** No guest answers where KVM cannot run one: what is measured is the host's side. */
export const BENCH_SPEC: VmSpec = { agent: 'none', shutdownTimeoutMs: 0, memSizeMib: 128, vcpuCount: 1 };

/** What opens our runtime. */
export interface OwnState {
  readonly programs: FirecrackerPrograms;
  readonly stateDir: string;
  readonly defaults: VmSpec;
}

export interface FirstLifeOptions extends OwnState {
  /** The VM comes from this snapshot; undefined: it boots. */
  readonly snapshotUid: string | undefined;
}

export function openFirecracker(
  programs: FirecrackerPrograms,
  stateDir: string,
  spec: VmSpec = {},
): Promise<VmRuntime> {
  const { firecrackerPath, jailerPath } = programs;
  const defaults = { ...BENCH_SPEC, ...spec };
  return createFirecrackerRuntime({ firecrackerPath, jailerPath, kvm: 'unchecked', stateDir, defaults });
}

/**
 * The first VM of a process that has run nothing else. The phases in milliseconds, as pairs, since they go
 * from process to process.
 */
export async function firstLife(options: FirstLifeOptions): Promise<[string, number][]> {
  const { programs, stateDir, defaults, snapshotUid } = options;
  const runtime = await openFirecracker(programs, stateDir, defaults);
  try {
    const times = snapshotUid === undefined ? bootLife(runtime, 1) : restoreLife(runtime, 1, snapshotUid);
    return [...(await times)];
  } finally {
    await runtime.close();
  }
}

export function bootLife(runtime: VmRuntime, vms: number): Promise<PhaseTimes> {
  return livePhases(runtime, vms, {
    create: (vmId) => runtime.createVm(vmId),
    start: (vmId) => runtime.startVm(vmId),
    pause: (vmId) => runtime.pauseVm(vmId),
    resume: (vmId) => runtime.resumeVm(vmId),
  });
}

export function restoreLife(runtime: VmRuntime, vms: number, snapshotUid: string): Promise<PhaseTimes> {
  return livePhases(runtime, vms, {
    restore: (vmId) => runtime.createVmWithSpec(vmId, { restoreFrom: { snapshotUid } }),
  });
}

type Phases = Readonly<Record<string, (vmId: string) => Promise<unknown>>>;

/** The phases, then rename and destroy; the tombstones go unmeasured. */
async function livePhases(runtime: VmRuntime, vms: number, phases: Phases): Promise<PhaseTimes> {
  const names = namesOf(vms);
  const all: Phases = {
    ...phases,
    rename: (vmId) => runtime.renameVm(vmId, `${vmId}-renamed`),
    destroy: (vmId) => runtime.destroyVm(`${vmId}-renamed`),
  };
  const times = new Map<string, number>();
  for (const [phase, work] of Object.entries(all)) times.set(phase, await medianMs(names, work));
  await Promise.all(names.map((vmId) => runtime.forgetVm(`${vmId}-renamed`)));
  return times;
}

export function namesOf(vms: number): string[] {
  return Array.from({ length: vms }, (_, index) => `vm-${index}`);
}

/** All at once; each from the begin of all, as one waits for it. */
async function medianMs(names: readonly string[], work: (vmId: string) => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  const took = await Promise.all(
    names.map(async (vmId) => {
      await work(vmId);
      return performance.now() - startedAt;
    }),
  );
  return summarize(took).median;
}

export async function erase(runtime: VmRuntime, vmId: string): Promise<void> {
  await runtime.destroyVm(vmId);
  await runtime.forgetVm(vmId);
}
