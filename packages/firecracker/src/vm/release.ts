import { readdir } from 'node:fs/promises';
import { folderOf, ignoreMissing, removeFiles } from '@microvm/driver-kit';
import type { DriverVm } from '@microvm/runtime';
import type { FirecrackerContext } from './context.js';
import { haltVm } from './halt.js';

const RECORD = 'vm.json';

/** Ends the VM's Firecracker and removes its files; answers what is still there afterwards. */
export async function releaseVm(context: FirecrackerContext, vm: DriverVm): Promise<readonly string[]> {
  const left: string[] = [];
  await haltVm(context, vm).catch((error: unknown) => left.push((error as Error).message));
  await context.metrics.release(vm.instanceId);
  const directory = folderOf(vm);
  const names = (await readdir(directory).catch(ignoreMissing)) ?? [];
  left.push(
    ...(await removeFiles(
      directory,
      names.filter((name) => name !== RECORD),
    )),
  );
  return left;
}
