import { checkSpecFiles } from '@microvm/driver-kit';
import { invalidArgument, type ResolvedVmSpec, type VmSpec } from '@microvm/runtime';
import { SERIAL_LENGTH } from '../process/machine.js';

// QEMU's microvm has 24 virtio-mmio transports. A guest gets no interrupts from the last one: with 23 drives
// and the agent's port it finds all drives and then waits for the last one for ever (QEMU 7.2).
const TRANSPORT_COUNT = 23;

/**
 * Refuses what QEMU or its guest would not take, before any effect. `given` is the caller's part of the spec.
 */
export async function checkSpec(spec: ResolvedVmSpec, given: VmSpec): Promise<void> {
  checkDriveCount(spec);
  checkSerials(spec);
  await checkSpecFiles(spec, given);
}

/** Each device takes one transport: the agent's port, every drive, the source of entropy. */
function checkDriveCount({ rootDrive, drives = [], entropy }: ResolvedVmSpec): void {
  const others = 1 + (entropy === undefined ? 0 : 1) + (rootDrive === undefined ? 0 : 1);
  const most = TRANSPORT_COUNT - others;
  if (drives.length > most) throw invalidArgument('spec.drives', `at most ${most} drives beside the others`);
}

/** A drive's id is its serial number in the guest, which virtio-blk cuts: two drives must not share one. */
function checkSerials({ drives = [] }: ResolvedVmSpec): void {
  const long = drives.findIndex(({ driveId }) => driveId.length > SERIAL_LENGTH);
  if (long < 0) return;
  throw invalidArgument(`spec.drives[${long}].driveId`, `at most ${SERIAL_LENGTH} characters`);
}
