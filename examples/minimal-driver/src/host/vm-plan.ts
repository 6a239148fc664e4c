import { DISKS_FOLDER, LOG_FILES, planDrives, plannedDriveSchema, type ProcessVm } from '@microvm/driver-kit';
import type { JsonObject, ResolvedVmSpec } from '@microvm/runtime';
import { z } from 'zod';
import { API_SOCKET } from '../process/command-line.js';

/** All that a VM ever has in its folder. */
export const FILES = [API_SOCKET, DISKS_FOLDER, ...Object.values(LOG_FILES)];

const vmPlan = z.strictObject({ drives: z.array(plannedDriveSchema) });

/** What a VM gets of the host beside its folder. It is kept in the VM's record, so its form is checked when it comes back. */
export type VmPlan = Readonly<z.infer<typeof vmPlan>>;

/** A VM at the driver's door: its plan is read. */
export interface MinimalVm extends ProcessVm {
  readonly plan: VmPlan;
}

export function makePlan(spec: ResolvedVmSpec): VmPlan {
  return { drives: planDrives(spec) };
}

export function readPlan(plan: JsonObject): VmPlan {
  return vmPlan.parse(plan);
}
