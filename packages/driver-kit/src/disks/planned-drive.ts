import { stat } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { MIB, type ResolvedVmSpec, type RestoreSource } from '@microvm/runtime';
import { z } from 'zod';

/** The folder of a VM's private disks, in the folder that its drives are in. */
export const DISKS_FOLDER = 'disks';

/** A drive in a VM's plan, which is kept in its record. */
export const plannedDriveSchema = z.strictObject({
  driveId: z.string(),
  /** The source of a private drive, or the shared file itself; absolute. */
  source: z.string(),
  isPrivate: z.boolean(),
  readOnly: z.boolean(),
  /** Relative to the folder that the VM's drives are in for a private one, absolute for a shared one. */
  file: z.string(),
  /** Its name in a snapshot. */
  part: z.string(),
  sizeMib: z.number().nullable(),
  /**
   * The size of the file in bytes, which stays: a guest cannot change the size of its disk. Null in the plan
   * of a VM that an older version made.
   */
  sizeBytes: z.int().nonnegative().nullable().default(null),
});

/** A drive in a VM's plan. */
export type PlannedDrive = Readonly<z.infer<typeof plannedDriveSchema>>;

type Drive = NonNullable<ResolvedVmSpec['rootDrive']>;

/** The drives of a new VM with their sizes. Rejects with the system's error for a file that is not there. */
export function planNewDrives(
  spec: ResolvedVmSpec,
  source: RestoreSource | undefined,
): Promise<PlannedDrive[]> {
  return Promise.all(planDrives(spec, source).map(withSize));
}

/**
 * The drives of a VM, the root drive first. Paths that the caller gave are made absolute at create: a later
 * owner may run elsewhere. A private drive of a restored VM comes from the snapshot's part. Pure: no file is
 * looked at.
 */
export function planDrives(spec: ResolvedVmSpec, source?: RestoreSource): PlannedDrive[] {
  const root = spec.rootDrive === undefined ? [] : [planDrive('root', 'root', spec.rootDrive)];
  const others = (spec.drives ?? []).map((drive) =>
    planDrive(drive.driveId, `drive-${drive.driveId}`, drive),
  );
  return [...root, ...others].map((drive) => fromSnapshot(drive, source?.directory));
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
    sizeBytes: null,
  };
}

function fromSnapshot(drive: PlannedDrive, directory: string | undefined): PlannedDrive {
  if (directory === undefined || !drive.isPrivate) return drive;
  // The disk has been grown already, before the snapshot was taken.
  return { ...drive, source: join(directory, drive.part), sizeMib: null };
}

async function withSize(drive: PlannedDrive): Promise<PlannedDrive> {
  const { size } = await stat(drive.source);
  const wanted = (drive.sizeMib ?? 0) * MIB;
  // A disk is never shrunk: one that is as large already is copied as it is.
  return wanted > size ? { ...drive, sizeBytes: wanted } : { ...drive, sizeBytes: size, sizeMib: null };
}

interface PlannedFiles {
  readonly kernelPath: string;
  readonly initrdPath: string | null;
  readonly drives: readonly PlannedDrive[];
}

/**
 * A plan whose read-only files are where they are now: the state directory that holds them, and the record
 * with the plan, may have been moved since. The spec has their present paths.
 */
export function withPresentFiles<P extends PlannedFiles>(plan: P, spec: ResolvedVmSpec): P {
  const present = planDrives(spec);
  const drives = plan.drives.map((drive) => {
    const now = present.find(({ part }) => part === drive.part);
    return drive.isPrivate || now === undefined ? drive : { ...drive, source: now.source, file: now.file };
  });
  return {
    ...plan,
    kernelPath: presentPath(spec.kernelPath) ?? plan.kernelPath,
    initrdPath: presentPath(spec.initrdPath) ?? plan.initrdPath,
    drives,
  };
}

/** An older record has the path as its caller spelled it, and the absolute one in its plan. */
function presentPath(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined;
}

/** Those that belong to one VM: they are copied for it, and into its snapshots. */
export function privateDrives(drives: readonly PlannedDrive[]): readonly PlannedDrive[] {
  return drives.filter(({ isPrivate }) => isPrivate);
}
