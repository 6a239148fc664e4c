import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { z } from 'zod';
import type { PlannedDrive } from './planned-drive.js';

/** A file that a snapshot does not hold but its guest has read from. */
export const sharedDriveSchema = z.strictObject({
  path: z.string(),
  sizeBytes: z.number(),
  changed: z.string(),
});

/** What a shared drive's file is like: when it differs, the guest of a snapshot has read what is no longer there. */
export type SharedDrive = z.infer<typeof sharedDriveSchema>;

/** What the shared ones among a VM's drives are like now. Rejects with the system's error when one is not there. */
export function describeSharedDrives(drives: readonly PlannedDrive[]): Promise<SharedDrive[]> {
  const shared = drives.filter(({ isPrivate }) => !isPrivate);
  return Promise.all(shared.map(({ source }) => describeFile(source)));
}

async function describeFile(path: string): Promise<SharedDrive> {
  const { size, mtimeNs }: BigIntStats = await stat(path, { bigint: true });
  return { path, sizeBytes: Number(size), changed: String(mtimeNs) };
}
