import { removeFiles } from '@microvm/driver-kit';
import type { QemuVm } from './qemu-vm.js';

/** Removes the files of a VM that has no QEMU; answers what is still there afterwards. */
export function removeVmFiles({ directory, plan }: QemuVm): Promise<readonly string[]> {
  return removeFiles(directory, plan.files);
}
