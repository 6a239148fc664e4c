import type { Capabilities, SpecFeatures } from '../contract/capabilities.js';
import { invalidArgument, unsupported } from '../contract/errors.js';
import { IMAGE_RULES } from '../contract/image-rules.js';
import type { ResolvedVmSpec } from '../contract/spec.js';

type Drive = NonNullable<ResolvedVmSpec['rootDrive']>;

export function hasAny(list: readonly unknown[] | undefined): boolean {
  return (list?.length ?? 0) > 0;
}

function drivesOf(spec: ResolvedVmSpec): readonly Drive[] {
  return [...(spec.rootDrive === undefined ? [] : [spec.rootDrive]), ...(spec.drives ?? [])];
}

function limitersOf(spec: ResolvedVmSpec): readonly unknown[] {
  const ofInterfaces = (spec.networkInterfaces ?? []).flatMap((nic) => [
    nic.rxRateLimiter,
    nic.txRateLimiter,
  ]);
  const ofDrives = drivesOf(spec).map((drive) => drive.rateLimiter);
  return [...ofDrives, ...ofInterfaces, spec.entropy?.rateLimiter, spec.serial?.rateLimiter];
}

/** Whether a spec asks for a feature. */
const ASKS: Readonly<Record<keyof SpecFeatures, (spec: ResolvedVmSpec) => boolean>> = {
  initrd: (spec) => spec.initrdPath !== undefined,
  rootDrive: (spec) => spec.rootDrive !== undefined || spec.rootSizeMib !== undefined,
  image: (spec) => spec.image !== undefined,
  extraDrives: (spec) => hasAny(spec.drives),
  rateLimiters: (spec) => limitersOf(spec).some((limiter) => limiter !== undefined),
  driveTuning: (spec) =>
    drivesOf(spec).some((drive) => drive.cacheType !== undefined || drive.ioEngine !== undefined),
  smt: (spec) => spec.smt === true,
  cpuTemplate: (spec) => spec.cpuTemplate !== undefined && spec.cpuTemplate !== 'None',
  trackDirtyPages: (spec) => spec.trackDirtyPages === true,
  hugePages: (spec) => spec.hugePages === '2M',
  networkInterfaces: (spec) => hasAny(spec.networkInterfaces),
  egressRules: (spec) => spec.egress !== undefined,
  portForwards: (spec) => hasAny(spec.portForwards),
  vsock: (spec) => spec.vsock !== undefined,
  balloon: (spec) => spec.balloon !== undefined,
  entropy: (spec) => spec.entropy !== undefined,
  mmds: (spec) => spec.mmds !== undefined,
  resourceLimits: (spec) => spec.limits !== undefined,
  jail: (spec) => spec.jail === true,
  consoleSwitch: (spec) => !spec.console,
};

/**
 * Refuses features that the driver lacks and sizes beyond its limits.
 * Throws `MICROVM_UNSUPPORTED` with `spec.<feature>`, `MICROVM_INVALID_ARGUMENT`.
 */
export function refuseUnsupported(spec: ResolvedVmSpec, capabilities: Capabilities): void {
  for (const feature of Object.keys(ASKS) as (keyof SpecFeatures)[]) {
    if (ASKS[feature](spec) && !capabilities.spec[feature]) throw unsupported(`spec.${feature}`);
  }
  const { maxVcpuCount, maxMemSizeMib } = capabilities.limits;
  if (spec.vcpuCount > maxVcpuCount) throw invalidArgument('spec.vcpuCount', `at most ${maxVcpuCount}`);
  if (spec.memSizeMib > maxMemSizeMib) throw invalidArgument('spec.memSizeMib', `at most ${maxMemSizeMib}`);
}

/**
 * Refuses what a spec and the runtime's defaults say of a root disk together, but could not say alone.
 * Throws `MICROVM_INVALID_ARGUMENT`.
 */
export function refuseRootDisk(spec: ResolvedVmSpec): void {
  const broken = IMAGE_RULES.find(([, , isBroken]) => isBroken(spec));
  if (broken !== undefined) throw invalidArgument(`spec.${broken[0]}`, broken[1]);
  const { image, rootDrive, rootSizeMib, kernelPath, initrdPath } = spec;
  if (rootSizeMib !== undefined && image === undefined && rootDrive === undefined)
    throw invalidArgument('spec.rootSizeMib', 'a root drive or an image beside it');
  if (image !== undefined && kernelPath !== undefined && initrdPath === undefined)
    throw invalidArgument('spec.initrdPath', 'an initramfs with the agent, which mounts the image');
}
