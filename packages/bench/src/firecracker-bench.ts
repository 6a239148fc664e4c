import { copyFile, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultImageSpec } from '@microvm/driver-kit';
import type { VmRuntime, VmSpec } from '@microvm/runtime';
import { FirecrackerFloor, type FloorSnapshot, type PhaseTimes } from './by-hand/firecracker.js';
import {
  bootLife,
  erase,
  namesOf,
  openFirecracker,
  restoreLife,
  type FirstLifeOptions,
  type OwnState,
} from './firecracker-lives.js';
import type { FirecrackerPrograms } from './firecracker-programs.js';
import { writeHaltingKernel } from './halting-kernel.js';
import { LoopMount, type FileSystem } from './loop-mount.js';

const DISK_MIB = 8192;

/**
 * A Firecracker runtime and the floor beside it, on a file system of their own. Not on the system's: when
 * ext4 makes a file it looks at every inode that was freed in the last minute, so the files that other
 * programs removed would be measured too.
 */
export class FirecrackerBench implements AsyncDisposable {
  readonly recordBytes: number;
  readonly #disk: LoopMount;
  readonly #state: OwnState;
  readonly #runtime: VmRuntime;
  readonly #floor: FirecrackerFloor;
  readonly #snapshot: FloorSnapshot;
  readonly #snapshotUid: string;

  private constructor(parts: BenchParts) {
    this.#disk = parts.disk;
    this.#state = parts.state;
    this.recordBytes = parts.recordBytes;
    this.#runtime = parts.runtime;
    this.#floor = parts.floor;
    this.#snapshot = parts.snapshot;
    this.#snapshotUid = parts.snapshotUid;
  }

  get programs(): FirecrackerPrograms {
    return this.#state.programs;
  }

  static async open(
    programs: FirecrackerPrograms,
    fileSystem: FileSystem = 'xfs',
  ): Promise<FirecrackerBench> {
    const disk = await LoopMount.make(fileSystem, DISK_MIB);
    const folder = disk.path;
    const stateDir = join(folder, 'state');
    const defaults = await haltingSpec(folder);
    const runtime = await openFirecracker(programs, stateDir, defaults);
    const { instanceId, spec } = await runtime.createVm('origin');
    const recordBytes = (await stat(join(stateDir, 'vms', instanceId, 'vm.json'))).size;
    await runtime.startVm('origin');
    const { snapshotUid } = await runtime.snapshotVm('origin', 'warm');
    await erase(runtime, 'origin');
    const parts = join(stateDir, 'snapshots', snapshotUid);
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
    const state = { programs, stateDir, defaults };
    return new FirecrackerBench({ disk, state, recordBytes, runtime, floor, snapshot, snapshotUid });
  }

  /** Our runtime: so many VMs at once, each phase for all of them before the next. */
  boot(vms: number): Promise<PhaseTimes> {
    return bootLife(this.#runtime, vms);
  }

  restore(vms: number): Promise<PhaseTimes> {
    return restoreLife(this.#runtime, vms, this.#snapshotUid);
  }

  async createMany(vms: number): Promise<void> {
    await Promise.all(namesOf(vms).map((vmId) => this.#runtime.createVm(vmId)));
  }

  async eraseMany(vms: number): Promise<void> {
    await Promise.all(namesOf(vms).map((vmId) => erase(this.#runtime, vmId)));
  }

  /**
   * Closes our runtime, so that another process can own its state directory. Only what is done by hand works
   * afterwards.
   */
  async handOver(): Promise<FirstLifeOptions> {
    await this.#runtime.close();
    return { ...this.#state, snapshotUid: this.#snapshotUid };
  }

  bootByHand(vms: number): Promise<PhaseTimes> {
    return this.#floor.boot(vms);
  }

  /** `onCreated` is called when all are created; then they are destroyed. */
  createByHand(vms: number, onCreated: () => void): Promise<PhaseTimes> {
    return this.#floor.create(vms, onCreated);
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
  readonly disk: LoopMount;
  readonly state: OwnState;
  readonly recordBytes: number;
  readonly runtime: VmRuntime;
  readonly floor: FirecrackerFloor;
  readonly snapshot: FloorSnapshot;
  readonly snapshotUid: string;
}

/**
 * The default image's files but for the kernel, whose guest would need a KVM that can run it; the disk where
 * it can be reflinked.
 */
async function haltingSpec(folder: string): Promise<VmSpec> {
  const kernelPath = join(folder, 'halting-kernel');
  await writeHaltingKernel(kernelPath);
  const { rootDrive, ...image } = await defaultImageSpec();
  const path = join(folder, 'root-disk');
  await copyFile(rootDrive.path, path);
  return { ...image, kernelPath, rootDrive: { path } };
}
