import { resolve } from 'node:path';
import { plannedDriveSchema, type PlannedDrive } from '@microvm/driver-kit';
import type { JsonObject, ResolvedVmSpec } from '@microvm/runtime';
import { z } from 'zod';
import { FILES } from './paths.js';

const vmPlan = z.strictObject({
  kernelPath: z.string(),
  initrdPath: z.string().nullable(),
  drives: z.array(plannedDriveSchema),
  /** All that the VM ever has in its folder. */
  files: z.array(z.string()),
});

/** A drive as QEMU gets it: `file` is relative to the VM's folder for a private one. */
export type DriveConfig = Pick<PlannedDrive, 'driveId' | 'file' | 'readOnly'>;

/**
 * What a VM gets of the host. Paths that the caller gave are made absolute at create: a later owner may run
 * elsewhere.
 */
export type VmPlan = Readonly<z.infer<typeof vmPlan>>;

export function makePlan(spec: ResolvedVmSpec, drives: readonly PlannedDrive[]): VmPlan {
  return {
    kernelPath: spec.kernelPath === undefined ? '' : resolve(spec.kernelPath),
    initrdPath: spec.initrdPath === undefined ? null : resolve(spec.initrdPath),
    drives: [...drives],
    files: Object.values(FILES),
  };
}

/** What `makePlan` answered when the VM was made, back from its record. */
export function readPlan(plan: JsonObject): VmPlan {
  return vmPlan.parse(plan);
}

export function driveConfigs(drives: readonly PlannedDrive[]): DriveConfig[] {
  return drives.map(({ driveId, file, readOnly }) => ({ driveId, file, readOnly }));
}
