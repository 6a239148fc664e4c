import type { ResolvedVmSpec, Run } from '@microvm/runtime';
import { diskName, VMM_FILES } from '../host/paths.js';
import type { VmPlan } from '../host/vm-plan.js';
import { kernelArgs } from '../process/kernel-args.js';
import { configuration, type VmmFiles } from './configuration.js';
import type { FirecrackerContext } from './context.js';
import type { FirecrackerVm } from './firecracker-vm.js';
import { launch, type LaunchOptions } from './launch.js';
import type { LiveVm } from './live-vm.js';

const DEFAULT_GUEST_CID = 3;

/** Starts a Firecracker and tells it what its VM is: all but the start. */
export async function launchConfigured(
  context: FirecrackerContext,
  vm: FirecrackerVm,
  method: LaunchOptions['method'],
  run: Run,
): Promise<LiveVm> {
  const requests = configuration({
    spec: vm.spec,
    files: vmmFiles(vm.plan),
    bootArgs: kernelArgs(vm.spec),
    guestCid: guestCid(vm.spec),
  });
  const live = await launch(context, vm, { method }, run);
  await live.requestAll(requests, { signal: run.signal });
  await run.step(`${method}:configured`);
  return live;
}

function vmmFiles({ initrdPath, drives }: VmPlan): VmmFiles {
  return {
    kernel: VMM_FILES.kernel,
    ...(initrdPath === null ? {} : { initrd: VMM_FILES.initrd }),
    drives: drives.map(({ driveId, readOnly }) => ({ driveId, path: diskName(driveId), readOnly })),
    vsock: VMM_FILES.vsock,
  };
}

/**
 * A guest with our agent has the device that it is reached through; another one only when it was asked for.
 */
export function guestCid({ agent, vsock }: Pick<ResolvedVmSpec, 'agent' | 'vsock'>): number | undefined {
  if (agent === 'none' && vsock === undefined) return undefined;
  return vsock?.guestCid ?? DEFAULT_GUEST_CID;
}
