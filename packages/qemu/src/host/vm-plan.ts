import { resolve } from 'node:path';
import type { JsonObject, ResolvedVmSpec } from '@microvm/runtime';
import { z } from 'zod';
import { FILES } from './paths.js';

const plannedDrive = z.strictObject({
  driveId: z.string(),
  /** What a private drive is copied from, or the shared file itself; absolute. */
  source: z.string(),
  isPrivate: z.boolean(),
  readOnly: z.boolean(),
  /** As QEMU gets it. */
  file: z.string(),
  /** Its name in a snapshot. */
  part: z.string(),
  sizeMib: z.number().nullable(),
});

const vmPlan = z.strictObject({
  kernelPath: z.string(),
  initrdPath: z.string().nullable(),
  drives: z.array(plannedDrive),
  /** All that the VM ever has in its folder. */
  files: z.array(z.string()),
});

export type PlannedDrive = Readonly<z.infer<typeof plannedDrive>>;

/** A drive as QEMU gets it: `file` is relative to the VM's folder for a private one. */
export type DriveConfig = Pick<PlannedDrive, 'driveId' | 'file' | 'readOnly'>;

/** What a VM gets of the host. Paths that the caller gave are made absolute at create: a later owner may run elsewhere. */
export type VmPlan = Readonly<z.infer<typeof vmPlan>>;

type Drive = NonNullable<ResolvedVmSpec['rootDrive']>;

export function makePlan(spec: ResolvedVmSpec): VmPlan {
  const root = spec.rootDrive === undefined ? [] : [planDrive('root', 'root', spec.rootDrive)];
  const others = (spec.drives ?? []).map((drive) =>
    planDrive(drive.driveId, `drive-${drive.driveId}`, drive),
  );
  return {
    kernelPath: spec.kernelPath === undefined ? '' : resolve(spec.kernelPath),
    initrdPath: spec.initrdPath === undefined ? null : resolve(spec.initrdPath),
    drives: [...root, ...others],
    files: Object.values(FILES),
  };
}

/** What `makePlan` answered when the VM was made, back from its record. */
export function readPlan(plan: JsonObject): VmPlan {
  return vmPlan.parse(plan);
}

function planDrive(driveId: string, fileName: string, drive: Drive): PlannedDrive {
  const isPrivate = drive.mode !== 'shared';
  const source = resolve(drive.path);
  return {
    driveId,
    source,
    isPrivate,
    readOnly: !isPrivate || drive.readOnly === true,
    file: isPrivate ? `${FILES.disks}/${fileName}.raw` : source,
    part: `disk-${fileName}.raw`,
    sizeMib: drive.sizeMib ?? null,
  };
}

export function driveConfigs(plan: VmPlan): DriveConfig[] {
  return plan.drives.map(({ driveId, file, readOnly }) => ({ driveId, file, readOnly }));
}
