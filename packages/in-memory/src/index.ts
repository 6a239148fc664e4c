export { ScriptedErrno } from '@microvm/guest';
export { DiskError } from './fs/inode.js';
export type { GuestDisk } from './driver/disks.js';
export { DRIVER_METHODS, DRIVER_STEPS } from './driver/driver-points.js';
export type { DriverMethod, DriverStep } from './driver/driver-points.js';
export { createFaults } from './faults.js';
export type { Fault, Faults, PlantedFault } from './faults.js';
export type {
  CommandEnd,
  GuestCommand,
  GuestMemory,
  GuestProgram,
  GuestScript,
  GuestServer,
  ScriptedConnection,
  ScriptedGuest,
} from './guest/guest-script.js';
export { createImages } from './images.js';
export type { ImageInMemory, ImagesInMemory } from './images.js';
export { IN_MEMORY_SETTINGS } from './options.js';
export type { InMemoryOptions } from './options.js';
export { createInMemoryRuntime } from './create-runtime.js';
export { createVirtualClock } from './virtual-clock.js';
export type { VirtualClock } from './virtual-clock.js';
export { createWorld } from './world.js';
export type { World } from './world.js';
