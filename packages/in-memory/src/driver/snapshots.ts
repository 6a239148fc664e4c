import type { Captured, CaptureTarget, RestoreSource } from '@microvm/runtime';
import { compatibilityOf, VMM_VERSION } from './check-snapshot.js';
import type { GuestMemory } from '../guest/guest-script.js';
import type { MemoryImage, MemoryVm } from './memory-vm.js';
import { snapshotParts, type SnapshotImage, type VmFiles } from './vm-files.js';
import type { World } from '../world.js';

/** Where snapshots are kept: in their folders, or by uid where there are none. */
export class Snapshots {
  readonly #files: VmFiles;
  readonly #world: World;

  constructor(files: VmFiles, world: World) {
    this.#files = files;
    this.#world = world;
  }

  async write(image: SnapshotImage, target: CaptureTarget): Promise<void> {
    if (target.directory === undefined) this.#world.snapshots.set(target.snapshotUid, image);
    else await this.#files.writeSnapshot(target.directory, image);
  }

  /**
   * Gives a VM the disks of a snapshot; answers with the memory that belongs to them. Errors:
   * SNAPSHOT_CORRUPT.
   */
  async loadDisks(vm: MemoryVm, source: RestoreSource): Promise<MemoryImage | undefined> {
    const image = await this.#read(source);
    vm.loadDisks(image.disks);
    vm.savedDisks = -1; // its folder has none of them yet
    return source.memory ? image.memory : undefined;
  }

  forget(snapshotUid: string): void {
    this.#world.snapshots.delete(snapshotUid);
  }

  async #read(source: RestoreSource): Promise<SnapshotImage> {
    if (source.directory !== undefined) return this.#files.readSnapshot(source, source.directory);
    const image = this.#world.snapshots.get(source.snapshotUid);
    if (image === undefined) throw new Error(`snapshot ${source.snapshotUid} was forgotten`);
    return image;
  }
}

/** What a snapshot of the VM holds now. */
export function imageOf(vm: MemoryVm): SnapshotImage {
  const { held, epoch, disks, settings } = vm;
  if (held === undefined) return { disks: disks.contents, memory: undefined };
  const { environment, image } = settings;
  // The memory of a guest is all in its snapshot, as that of a real one is.
  const secrets = [...settings.secrets].map(([name, { bytes, owner }]) => {
    return [name, { base64: bytes.toString('base64'), owner }] as const;
  });
  return {
    disks: held.disks,
    memory: {
      memory: JSON.parse(held.memory) as GuestMemory,
      epoch,
      environment,
      ...(image === undefined ? {} : { image }),
      ...(secrets.length === 0 ? {} : { secrets: Object.fromEntries(secrets) }),
    },
  };
}

/** What `capture` answers with. */
export function captured(target: CaptureTarget, cpuModel: string): Captured {
  return {
    parts: snapshotParts(target),
    diskCopy: 'copy',
    vmmVersion: VMM_VERSION,
    compatibility: compatibilityOf(cpuModel),
  };
}
