import { withoutUndefined, defineCapabilities, type Capabilities, type SpecFeatures } from '@microvm/runtime';
import { z } from 'zod';

const EVERY_FEATURE: SpecFeatures = {
  initrd: true,
  rootDrive: true,
  image: true,
  extraDrives: true,
  rateLimiters: true,
  driveTuning: true,
  smt: true,
  cpuTemplate: true,
  trackDirtyPages: true,
  hugePages: true,
  networkInterfaces: true,
  egressRules: true,
  portForwards: true,
  vsock: true,
  balloon: true,
  entropy: true,
  mmds: true,
  resourceLimits: true,
  jail: true,
  consoleSwitch: true,
};

/**
 * The features that the fake can lack on demand; those that depend on other options of the runtime are not
 * among them.
 */
const SWITCHES = [
  'pause',
  'memorySnapshot',
  'diskSnapshot',
  'rename',
  'concurrentRestores',
  'networkOverrides',
  'guestAgent',
  'console',
  'metrics',
] as const;

const flags = <K extends string>(keys: readonly K[]): Record<K, z.ZodOptional<z.ZodBoolean>> =>
  Object.fromEntries(keys.map((key) => [key, z.boolean().optional()])) as Record<
    K,
    z.ZodOptional<z.ZodBoolean>
  >;

const MAX_MEM_SIZE_MIB = 1024 * 1024;

/** Schema of the option `capabilities`. */
export const capabilitiesSchema = z.strictObject({
  ...flags(SWITCHES),
  spec: z.strictObject(flags(Object.keys(EVERY_FEATURE) as (keyof SpecFeatures)[])).optional(),
  limits: z
    .strictObject({
      maxVcpuCount: z.int().min(1).max(32).optional(),
      maxMemSizeMib: z.int().min(16).max(MAX_MEM_SIZE_MIB).optional(),
    })
    .optional(),
});

export type CapabilitySwitches = z.infer<typeof capabilitiesSchema>;

/**
 * All that a VM in memory can do, but for what is switched off. `isShared`: VMs outlive the runtime, because
 * its world was given to it.
 */
export function capabilitiesOf(switches: CapabilitySwitches | undefined, isShared: boolean): Capabilities {
  const { spec, limits, ...rest } = switches ?? {};
  return defineCapabilities({
    pause: true,
    memorySnapshot: true,
    diskSnapshot: true,
    rename: true,
    concurrentRestores: true,
    networkOverrides: true,
    guestAgent: true,
    console: true,
    metrics: true,
    ...withoutUndefined(rest),
    adoption: isShared,
    spec: { ...EVERY_FEATURE, ...withoutUndefined(spec ?? {}) },
    limits: { maxVcpuCount: 32, maxMemSizeMib: MAX_MEM_SIZE_MIB, ...withoutUndefined(limits ?? {}) },
  });
}
