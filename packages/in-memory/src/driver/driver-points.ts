/** Methods of the driver that act on a VM, and so can have faults and a latency. */
export const DRIVER_METHODS = [
  'checkSpec',
  'prepare',
  'boot',
  'pause',
  'resume',
  'shutdown',
  'halt',
  'capture',
  'checkSnapshot',
  'restore',
  'release',
  'adopt',
  'guest',
  'configure',
] as const;

export type DriverMethod = (typeof DRIVER_METHODS)[number];

/** Every step that the driver marks, in the order within its method. */
export const DRIVER_STEPS = [
  'prepare:disks',
  'boot:started',
  'boot:ready',
  'pause:held',
  'resume:repaired',
  'resume:released',
  'configure:told',
  'shutdown:asked',
  'shutdown:halted',
  'capture:memory',
  'capture:disks',
  'restore:disks',
  'restore:memory',
] as const;

export type DriverStep = (typeof DRIVER_STEPS)[number];
