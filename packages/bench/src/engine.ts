import { createInMemoryRuntime } from '@microvm/in-memory';
import type { VmRuntime } from '@microvm/runtime';
import { atOnce } from './lifecycle.js';

const WORKERS = 64;

/** A runtime with so many VMs that run, named by `vmName`. */
export async function runtimeWith(vms: number): Promise<VmRuntime> {
  const runtime = await createInMemoryRuntime();
  await atOnce(vms, WORKERS, async (index) => {
    await runtime.createVm(vmName(index));
    await runtime.startVm(vmName(index));
  });
  return runtime;
}

export function vmName(index: number): string {
  return `vm-${String(index).padStart(6, '0')}`;
}
