import { diskParts, type ExpectedPart, type PlannedDrive } from '@microvm/driver-kit';
import { MIB, type ResolvedVmSpec, type SnapshotPart } from '@microvm/runtime';
import type { MemoryForm } from './compatibility.js';

/** Devices, CPUs and what a stream has beside the memory: some hundred KiB. */
export const MAX_STATE_BYTES = 64 * MIB;

const STATE: SnapshotPart = { name: 'vmstate', role: 'vmstate' };
const MEMORY: SnapshotPart = { name: 'memory', role: 'memory' };
const STREAM: SnapshotPart = { name: 'stream', role: 'memory' };

/** What a memory snapshot's own files are, beside the disks. */
export function memoryParts(form: MemoryForm): readonly SnapshotPart[] {
  return form === 'stream' ? [STREAM] : [STATE, MEMORY];
}

/** The file that QEMU reads, and the one that it maps. */
export function memoryFiles(form: MemoryForm): { readonly state: string; readonly memory?: string } {
  return form === 'stream' ? { state: STREAM.name } : { state: STATE.name, memory: MEMORY.name };
}

export function memorySize({ memSizeMib }: Pick<ResolvedVmSpec, 'memSizeMib'>): number {
  return memSizeMib * MIB;
}

/** The files that a restore reads; without a form, disks only. */
export function partsOf(
  spec: ResolvedVmSpec,
  drives: readonly PlannedDrive[],
  form: MemoryForm | undefined,
): readonly ExpectedPart[] {
  const sizes = {
    [STATE.name]: { maxSizeBytes: MAX_STATE_BYTES },
    [MEMORY.name]: { expectedSizeBytes: memorySize(spec) },
    [STREAM.name]: { maxSizeBytes: memorySize(spec) + MAX_STATE_BYTES },
  };
  const own = form === undefined ? [] : memoryParts(form);
  return [
    ...own.map((part) => ({ ...part, size: sizes[part.name] ?? { maxSizeBytes: 0 } })),
    ...diskParts(drives),
  ];
}
