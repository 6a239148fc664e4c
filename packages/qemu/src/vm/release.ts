import { lstat, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DriverVm } from '@microvm/runtime';
import { ignoreMissing } from '../host/system-error.js';
import { readPlan } from '../host/vm-plan.js';
import { folderOf, type QemuContext } from './context.js';
import { haltVm } from './halt.js';

/** Ends the VM's QEMU and removes its files; answers what is still there afterwards. */
export async function releaseVm(context: QemuContext, vm: DriverVm): Promise<readonly string[]> {
  const left: string[] = [];
  await haltVm(context, vm).catch((error: unknown) => left.push((error as Error).message));
  for (const name of readPlan(vm.plan).files) {
    const path = join(folderOf(vm), name);
    await rm(path, { recursive: true, force: true }).catch((error: unknown) =>
      left.push((error as Error).message),
    );
    if ((await lstat(path).catch(ignoreMissing)) !== undefined && !left.some((text) => text.includes(path))) {
      left.push(path);
    }
  }
  return left;
}
