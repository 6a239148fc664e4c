import { DISKS_FOLDER, removeFiles } from '@microvm/driver-kit';
import { VM_FILES } from '../host/paths.js';
import type { FirecrackerContext } from './context.js';
import type { FirecrackerVm } from './firecracker-vm.js';

/** Removes the files of a VM that has no Firecracker; answers what is still there afterwards. */
export async function removeVmFiles(
  { metrics }: FirecrackerContext,
  { instanceId, directory }: FirecrackerVm,
): Promise<readonly string[]> {
  await metrics.release(instanceId);
  return removeFiles(directory, [...Object.values(VM_FILES), DISKS_FOLDER]);
}
