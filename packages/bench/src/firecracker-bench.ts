import { copyFile, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultImageSpec } from '@microvm/driver-kit';
import { createFirecrackerRuntime } from '@microvm/firecracker';
import type { VmRuntime, VmSpec } from '@microvm/runtime';
import { FirecrackerFloor, type FloorSnapshot, type PhaseTimes } from './by-hand/firecracker.js';
import type { FirecrackerPrograms } from './firecracker-programs.js';
import { writeHaltingKernel } from './halting-kernel.js';
import { summarize } from './statistics.js';
import { XfsMount } from './xfs-mount.js';

/** No guest answers where KVM cannot run one: what is measured is the host's side. */
export const BENCH_SPEC: VmSpec = { agent: 'none', shutdownTimeoutMs: 0, memSizeMib: 128, vcpuCount: 1 };

const DISK_MIB = 8192;

/**
 * A Firecracker runtime and the floor beside it, on a file system of their own, with reflinks. (Not on the system's: ext4 looks at every
 * inode that was freed in the last minute when it makes a file; those that others freed would be measured, and each other's.)
 */
export class FirecrackerBench implements AsyncDisposable {
  readonly programs: FirecrackerPrograms;
  readonly recordBytes: number;
  readonly #disk: XfsMount;
  readonly #runtime: VmRuntime;
  readonly #floor: FirecrackerFloor;
  readonly #snapshot: FloorSnapshot;
  readonly #snapshotUid: string;

  private constructor(parts: BenchParts) {
    this.#disk = parts.disk;
    this.programs = parts.programs;
    this.recordBytes = parts.recordBytes;
    this.#runtime = parts.runtime;
    this.#floor = parts.floor;
    this.#snapshot = parts.snapshot;
    this.#snapshotUid = parts.snapshotUid;
  }

  static async open(programs: FirecrackerPrograms): Promise<FirecrackerBench> {
    const disk = await XfsMount.make(DISK_MIB);
    const folder = disk.path;
    const runtime = await openFirecracker(programs, join(folder, 'state'), await haltingSpec(folder));
    const { instanceId, spec } = await runtime.createVm('origin');
    const recordBytes = (await stat(join(folder, 'state', 'vms', instanceId, 'vm.json'))).size;
    await runtime.startVm('origin');
    const { snapshotUid } = await runtime.snapshotVm('origin', 'warm');
    await erase(runtime, 'origin');
    const parts = join(folder, 'state', 'snapshots', snapshotUid);
    await mkdir(join(folder, 'floor'));
    const floor = await FirecrackerFloor.make({
      ...programs,
      folder: join(folder, 'floor'),
      spec,
      recordBytes,
    });
    const snapshot = {
      vmstate: join(parts, 'vmstate'),
      memory: join(parts, 'memory'),
      disk: join(parts, 'disk-root.raw'),
    };
    return new FirecrackerBench({ disk, programs, recordBytes, runtime, floor, snapshot, snapshotUid });
  }

  /** Our runtime: so many VMs at once, each phase for all of them before the next. */
  boot(vms: number): Promise<PhaseTimes> {
    const runtime = this.#runtime;
    return livePhases(runtime, vms, {
      create: (vmId) => runtime.createVm(vmId),
      start: (vmId) => runtime.startVm(vmId),
      pause: (vmId) => runtime.pauseVm(vmId),
      resume: (vmId) => runtime.resumeVm(vmId),
    });
  }

  restore(vms: number): Promise<PhaseTimes> {
    const restoreFrom = { snapshotUid: this.#snapshotUid };
    return livePhases(this.#runtime, vms, {
      restore: (vmId) => this.#runtime.createVmWithSpec(vmId, { restoreFrom }),
    });
  }

  async createMany(vms: number): Promise<void> {
    await Promise.all(namesOf(vms).map((vmId) => this.#runtime.createVm(vmId)));
  }

  async eraseMany(vms: number): Promise<void> {
    await Promise.all(namesOf(vms).map((vmId) => erase(this.#runtime, vmId)));
  }

  bootByHand(vms: number): Promise<PhaseTimes> {
    return this.#floor.boot(vms);
  }

  restoreByHand(vms: number): Promise<PhaseTimes> {
    return this.#floor.restore(vms, this.#snapshot);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#runtime.close();
    await this.#floor.close();
    await this.#disk[Symbol.asyncDispose]();
  }
}

interface BenchParts {
  readonly disk: XfsMount;
  readonly programs: FirecrackerPrograms;
  readonly recordBytes: number;
  readonly runtime: VmRuntime;
  readonly floor: FirecrackerFloor;
  readonly snapshot: FloorSnapshot;
  readonly snapshotUid: string;
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

/** The default image's files but for the kernel, whose guest would need a KVM that can run it; the disk where it can be reflinked. */
async function haltingSpec(folder: string): Promise<VmSpec> {
  const kernelPath = join(folder, 'halting-kernel');
  await writeHaltingKernel(kernelPath);
  const { rootDrive, ...image } = await defaultImageSpec();
  const path = join(folder, 'root-disk');
  await copyFile(rootDrive.path, path);
  return { ...image, kernelPath, rootDrive: { path } };
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

function namesOf(vms: number): string[] {
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

async function erase(runtime: VmRuntime, vmId: string): Promise<void> {
  await runtime.destroyVm(vmId);
  await runtime.forgetVm(vmId);
}
