import type { Run } from '@microvm/runtime';
import { driveConfigs } from '../host/vm-plan.js';
import type { MemoryBackend, StartMode } from '../process/command-line.js';
import { machineConfig } from '../process/machine.js';
import { spawnVmm } from '../process/spawn-vmm.js';
import type { QemuContext } from './context.js';
import { LiveVm } from './live-vm.js';
import type { QemuVm } from './qemu-vm.js';

export interface LaunchOptions {
  readonly memory: MemoryBackend;
  readonly start: StartMode;
  readonly inheritedFd?: number;
  /** Marked as soon as the process is there. */
  readonly step: string;
}

/** Starts a VM's QEMU and connects to its monitor. What fails leaves a process for `halt`. */
export async function launch(
  { hostFacts, table }: QemuContext,
  vm: QemuVm,
  options: LaunchOptions,
  run: Run,
): Promise<LiveVm> {
  const { step, ...input } = options;
  const live = await table.start(vm, async () => {
    run.signal.throwIfAborted();
    const process = await spawnVmm({
      ...input,
      qemuPath: hostFacts.qemuPath,
      directory: vm.directory,
      instanceId: vm.instanceId,
      machine: machineConfig(vm.spec, hostFacts.accelerator, driveConfigs(vm.plan.drives)),
    });
    return new LiveVm(vm, process);
  });
  await run.step(step);
  await live.connect(run.signal);
  return live;
}
