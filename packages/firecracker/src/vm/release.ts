import { readdir } from 'node:fs/promises';
import { ignoreMissing, removeFiles } from '@microvm/driver-kit';
import type { FirecrackerContext } from './context.js';
import type { FirecrackerVm } from './firecracker-vm.js';

const RECORD = 'vm.json';

/** Removes the files of a VM that has no Firecracker; answers what is still there afterwards. */
export async function removeVmFiles(
  { metrics }: FirecrackerContext,
  { instanceId, directory }: FirecrackerVm,
): Promise<readonly string[]> {
  await metrics.release(instanceId);
  const names = (await readdir(directory).catch(ignoreMissing)) ?? [];
  return removeFiles(
    directory,
    names.filter((name) => name !== RECORD),
  );
}
