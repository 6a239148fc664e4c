import { VmRuntimeError, type RestoreSource, type SnapshotPart } from '@microvm/runtime';
import { privateDrives, type PlannedDrive } from '../disks/planned-drive.js';
import { fits, type FileSize } from '../disks/bounded-copy.js';

/** A file that a restore reads, and how large it may be. */
export interface ExpectedPart extends SnapshotPart {
  readonly size: FileSize;
}

// Small enough to be counted exactly.
const MAX_DISK_BYTES = 2 ** 44;

/** The disks of a snapshot. */
export function diskParts(drives: readonly PlannedDrive[]): readonly ExpectedPart[] {
  return privateDrives(drives).map(({ part }) => ({
    name: part,
    role: 'disk',
    size: { maxSizeBytes: MAX_DISK_BYTES },
  }));
}

/**
 * Refuses a snapshot whose manifest lists other parts than a restore reads. The digests cover only what is
 * listed, so an unlisted file could be anything. SNAPSHOT_CORRUPT.
 */
export function checkParts(source: RestoreSource, expected: readonly ExpectedPart[]): void {
  const names = new Set([...source.parts, ...expected].map(({ name }) => name));
  for (const name of names) {
    const problem = problemWith(
      source.parts.find((part) => part.name === name),
      expected.find((part) => part.name === name),
    );
    if (problem !== undefined) throw corrupt(source, name, problem);
  }
}

function problemWith(
  found: RestoreSource['parts'][number] | undefined,
  expected: ExpectedPart | undefined,
): string | undefined {
  if (found === undefined) return 'its manifest does not list it';
  if (expected === undefined) return 'no VM of this kind has such a part';
  if (found.role !== expected.role) return `listed as ${found.role}, it is ${expected.role}`;
  if (fits(found.sizeBytes, expected.size)) return undefined;
  return `${found.sizeBytes} bytes, which no such part has`;
}

function corrupt({ snapshotUid }: RestoreSource, part: string, problem: string): VmRuntimeError {
  return new VmRuntimeError('MICROVM_SNAPSHOT_CORRUPT', `read snapshot ${snapshotUid}, ${part}: ${problem}`, {
    details: { snapshotUid, part, problem },
  });
}
