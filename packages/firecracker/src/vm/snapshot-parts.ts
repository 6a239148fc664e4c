import { diskParts, type ExpectedPart, type PlannedDrive } from '@microvm/driver-kit';
import { MIB, type ResolvedVmSpec } from '@microvm/runtime';

/** Names of the VMM's own files in a snapshot's folder. */
export const PARTS = { state: 'vmstate', memory: 'memory' } as const;

/** Devices and CPUs take some hundred KiB; Firecracker's own limit on what it reads is 10 MiB. */
export const MAX_STATE_BYTES = 10 * MIB;

export function memorySize({ memSizeMib }: Pick<ResolvedVmSpec, 'memSizeMib'>): number {
  return memSizeMib * MIB;
}

/** The files that a restore reads. */
export function partsOf(
  spec: ResolvedVmSpec,
  drives: readonly PlannedDrive[],
  memory: boolean,
): readonly ExpectedPart[] {
  if (!memory) return diskParts(drives);
  return [
    { name: PARTS.state, role: 'vmstate', size: { maxSizeBytes: MAX_STATE_BYTES } },
    { name: PARTS.memory, role: 'memory', size: { expectedSizeBytes: memorySize(spec) } },
    ...diskParts(drives),
  ];
}
