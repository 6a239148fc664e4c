import { resolve } from 'node:path';
import type { ResolvedVmSpec } from '@microvm/runtime';
import { z } from 'zod';

/** The folder of a VM's private disks, in the folder that its drives are in. */
export const DISKS_FOLDER = 'disks';

/** A drive in a VM's plan, which is kept in its record. */
export const plannedDriveSchema = z.strictObject({
  driveId: z.string(),
  /** What a private drive is copied from, or the shared file itself; absolute. */
  source: z.string(),
  isPrivate: z.boolean(),
  readOnly: z.boolean(),
  /** Relative to the folder that the VM's drives are in for a private one, absolute for a shared one. */
  file: z.string(),
  /** Its name in a snapshot. */
  part: z.string(),
  sizeMib: z.number().nullable(),
});

/** A drive in a VM's plan. */
export type PlannedDrive = Readonly<z.infer<typeof plannedDriveSchema>>;

type Drive = NonNullable<ResolvedVmSpec['rootDrive']>;

/**
 * The drives of a VM, the root drive first. Paths that the caller gave are made absolute at create: a later owner may run
 * elsewhere. Pure.
 */
export function planDrives(spec: ResolvedVmSpec): PlannedDrive[] {
  const root = spec.rootDrive === undefined ? [] : [planDrive('root', 'root', spec.rootDrive)];
  const others = (spec.drives ?? []).map((drive) =>
    planDrive(drive.driveId, `drive-${drive.driveId}`, drive),
  );
  return [...root, ...others];
}

function planDrive(driveId: string, fileName: string, drive: Drive): PlannedDrive {
  const isPrivate = drive.mode !== 'shared';
  const source = resolve(drive.path);
  return {
    driveId,
    source,
    isPrivate,
    readOnly: !isPrivate || drive.readOnly === true,
    file: isPrivate ? `${DISKS_FOLDER}/${fileName}.raw` : source,
    part: `disk-${fileName}.raw`,
    sizeMib: drive.sizeMib ?? null,
  };
}

/** Those that belong to one VM: they are copied for it, and into its snapshots. */
export function privateDrives(drives: readonly PlannedDrive[]): readonly PlannedDrive[] {
  return drives.filter(({ isPrivate }) => isPrivate);
}
