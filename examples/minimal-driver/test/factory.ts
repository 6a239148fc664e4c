import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import type { GuestEnding, ProviderFactory } from '@microvm/conformance';
import { endGuest as killVmm } from '@microvm/conformance/linux-guest';
import { HttpClient } from '@microvm/driver-kit';
import { waitForSocket, watchProcess } from '@microvm/native';
import type { VmRuntime } from '@microvm/runtime';
import { createMinimalRuntime } from '../src/index.js';

const stateDirs = new WeakMap<VmRuntime, string>();

/** Asks the VMM of a VM for something that a guest does by itself. */
export async function askVmm(runtime: VmRuntime, vmId: string, path: string, body: unknown): Promise<void> {
  const view = await runtime.getVm(vmId);
  if (view?.vmm === undefined) throw new Error(`"${vmId}" has no VMM`);
  const process = watchProcess(view.vmm);
  const socket = join(stateDirs.get(runtime) ?? '', 'vms', view.instanceId, 'api.sock');
  const client = new HttpClient({
    connect: () => waitForSocket({ path: socket, process }),
    exited: process.exited,
    faultIn: () => undefined,
  });
  // A guest that ends takes the VMM with it before it answers.
  await client.send({ method: 'PUT', path, body }).catch(() => undefined);
  client.close();
  process.close();
}

async function endGuest(runtime: VmRuntime, vmId: string, how: GuestEnding): Promise<void> {
  if (how !== 'kill-vmm') return askVmm(runtime, vmId, '/guest/end', { how });
  await killVmm(runtime, vmId, how);
}

export const minimalFactory: ProviderFactory = {
  open: async ({ stateDir, ...options }) => {
    if (stateDir === undefined) throw new Error('this driver is durable');
    const runtime = await createMinimalRuntime({ ...options, stateDir });
    stateDirs.set(runtime, stateDir);
    return runtime;
  },
  // A private disk, so that disks are part of what is proved. Any file will do.
  spec: { rootDrive: { path: fileURLToPath(import.meta.url) } },
  deadlineFactor: 6,
  endGuest,
  childModule: {
    path: fileURLToPath(new URL('./crash-child.ts', import.meta.url)),
    execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
  },
};
