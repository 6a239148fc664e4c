import { COMMON_SETTINGS, commonOptionsShape, type Clock, type Setting } from '@microvm/runtime';
import { z } from 'zod';
import { capabilitiesSchema } from './driver/capabilities.js';
import { DRIVER_METHODS } from './driver/driver-points.js';
import { Faults, type Fault } from './faults.js';
import type { GuestScript } from './guest/guest-script.js';
import { ImagesInMemory, imagesSchema } from './images.js';
import type { OnBreach } from './rules.js';
import { World } from './world.js';

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

const hasMethods =
  (...names: readonly string[]) =>
  (value: unknown): boolean =>
    isObject(value) && names.every((name) => typeof value[name] === 'function');

const SCRIPT_PARTS = ['boot', 'exec', 'programs', 'serverAt', 'shutdown', 'metrics'];

const isPrograms = (value: unknown): boolean =>
  isObject(value) && Object.values(value).every((program) => typeof program === 'function');

// A part that is misspelt would never be called, and its test would pass for nothing.
const isScript = (value: unknown): boolean =>
  isObject(value) &&
  Object.entries(value).every(
    ([name, part]) =>
      part === undefined ||
      (name === 'programs' ? isPrograms(part) : SCRIPT_PARTS.includes(name) && typeof part === 'function'),
  );

const milliseconds = z.number().nonnegative();

const latencyMs = z.union([
  milliseconds,
  z.strictObject(
    Object.fromEntries(DRIVER_METHODS.map((method) => [method, milliseconds.optional()])) as Record<
      (typeof DRIVER_METHODS)[number],
      z.ZodOptional<typeof milliseconds>
    >,
  ),
]);

/** Schema of the options of `createInMemoryRuntime`. */
export const inMemoryOptionsSchema = z.strictObject({
  ...commonOptionsShape,
  /** Where time comes from; default: the system. `createVirtualClock()` makes one that stands still. */
  clock: z.custom<Clock>(hasMethods('now', 'schedule'), 'a Clock').optional(),
  /** What shall go wrong: a list, or what `createFaults()` made, to which more can be added. */
  faults: z
    .union([
      z.custom<Faults>((value) => value instanceof Faults, 'what createFaults() made'),
      z.array(z.custom<Fault>(isObject, 'a Fault')),
    ])
    .optional(),
  /** What guests do. Default: a few commands (`echo`, `cat`, `sleep`, `counter`…). */
  guest: z.custom<GuestScript>(isScript, `a GuestScript: ${SCRIPT_PARTS.join(', ')}`).optional(),
  /**
   * How long the driver's methods take, on `clock`, in milliseconds: all of them, or by method. Default 0.
   */
  latencyMs: latencyMs.optional(),
  /** Abilities that the runtime shall lack, each by `false`. */
  capabilities: capabilitiesSchema.optional(),
  /**
   * The files of the host, by path, with the files that each holds as a disk. With it, a spec that names
   * another file is refused; without it every path is that of an empty disk.
   */
  hostFiles: z.record(z.string(), z.record(z.string(), z.string())).optional(),
  /** The images that VMs can be made from, by name; or what `createImages()` made, which can be changed. */
  images: z
    .union([
      z.custom<ImagesInMemory>((value) => value instanceof ImagesInMemory, 'what createImages() made'),
      imagesSchema,
    ])
    .optional(),
  /** What each disk of a VM may hold, in bytes; beyond it the guest meets ENOSPC. Default 64 MiB. */
  diskLimitBytes: z.int().positive().optional(),
  /** A snapshot is restored only on the model on which it was taken. Default `virtual`. */
  cpuModel: z.string().min(1).max(64).optional(),
  /**
   * Where the VMs live; what `createWorld()` made. Runtimes that share one adopt each other's VMs. Default:
   * its own.
   */
  world: z.custom<World>((value) => value instanceof World, 'what createWorld() made').optional(),
  /** Told of each rule of the driver interface that the engine broke; a test of an engine expects none. */
  onBreach: z.custom<OnBreach>((value) => typeof value === 'function', 'a function').optional(),
});

/** Options of `createInMemoryRuntime`. */
export type InMemoryOptions = z.input<typeof inMemoryOptionsSchema>;

/** Settings of `createInMemoryRuntime`; those without a variable are for tests alone. */
export const IN_MEMORY_SETTINGS: readonly Setting[] = [
  ...COMMON_SETTINGS,
  {
    option: 'latencyMs',
    type: 'json',
    default: '0',
    meaning: 'How long driver methods take: a number, or one by method name, in milliseconds.',
  },
  {
    option: 'capabilities',
    type: 'json',
    default: '{}',
    meaning: 'Abilities that the runtime shall lack, each by `false`.',
  },
  {
    option: 'hostFiles',
    type: 'json',
    default: 'every path exists',
    meaning: 'Files of the host by path, each with the files that it holds as a disk.',
  },
  {
    option: 'images',
    type: 'json',
    default: '{}',
    meaning: 'Images by name: `files`, `env`, `entrypoint`, `cmd`, `workingDir`, `user`, `stopSignal`.',
  },
  {
    option: 'diskLimitBytes',
    type: 'integer',
    default: '67108864',
    meaning: 'What each disk of a VM may hold, in bytes.',
  },
  {
    option: 'cpuModel',
    type: 'string',
    default: 'virtual',
    meaning: 'Snapshots are restored only on the model on which they were taken.',
  },
];
