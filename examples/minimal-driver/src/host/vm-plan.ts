import {
  DISKS_FOLDER,
  LOG_FILES,
  plannedDriveSchema,
  planNewDrives,
  type ProcessVm,
} from '@microvm/driver-kit';
import type { JsonObject, PlanRequest } from '@microvm/runtime';
import { z } from 'zod';
import { API_SOCKET } from '../process/command-line.js';

/** All that a VM ever has in its folder. */
export const FILES = [API_SOCKET, DISKS_FOLDER, ...Object.values(LOG_FILES)];

const vmPlan = z.strictObject({ drives: z.array(plannedDriveSchema) });

/**
 * What a VM gets of the host beside its folder. It is kept in the VM's record, so its form is checked when it
 * comes back.
 */
export type VmPlan = Readonly<z.infer<typeof vmPlan>>;

/** A VM at the driver's door: its plan is read. */
export interface MinimalVm extends ProcessVm {
  readonly plan: VmPlan;
}

export async function makePlan({ spec, source }: PlanRequest): Promise<VmPlan> {
  return { drives: await planNewDrives(spec, source) };
}

export function readPlan(plan: JsonObject): VmPlan {
  return vmPlan.parse(plan);
}
