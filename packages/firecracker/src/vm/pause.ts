import type { DriverVm } from '@microvm/runtime';
import { unsupported } from '@microvm/runtime';
import type { VmmVersion } from '../api/version.js';
import { guestCid } from './configure.js';

/**
 * Refuses what would leave the guest unreachable in releases before the mends of its vsock:
 * `MICROVM_UNSUPPORTED`, with the version.
 */
export function checkPause(version: VmmVersion, { spec }: DriverVm): void {
  if (guestCid(spec) !== undefined && !version.supports('vsock-pause')) {
    throw version.lacks('vsock-pause', 'a pause of a VM with vsock');
  }
}

/** Refuses a snapshot that this Firecracker could not take, or that no Firecracker could load. */
export function checkCapture(version: VmmVersion, vm: DriverVm, memory: boolean): void {
  if (!memory) return;
  // The File backend cannot map hugetlbfs memory.
  if (vm.spec.hugePages === '2M') throw unsupported('a snapshot with memory of a VM on huge pages');
  checkPause(version, vm);
}
