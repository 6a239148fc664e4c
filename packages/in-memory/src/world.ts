import type { MemoryVm } from './driver/memory-vm.js';
import type { SnapshotImage } from './driver/vm-files.js';

/**
 * The place of VMs in memory. A runtime makes its own world unless it is given one. VMs in a given world
 * outlive the runtime, as those of a real VMM outlive their runtime's process, and the next runtime in the
 * same world adopts them.
 */
export class World {
  /** VMs by `instanceId`. For the driver. */
  readonly vms = new Map<string, MemoryVm>();
  /** Snapshots of runtimes without a state directory, by `snapshotUid`. For the driver. */
  readonly snapshots = new Map<string, SnapshotImage>();
}

/** Makes a world for `createInMemoryRuntime({ world })`. */
export function createWorld(): World {
  return new World();
}
