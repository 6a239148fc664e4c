import { folderOf } from '@microvm/driver-kit';
import type { DriverVm, Run } from '@microvm/runtime';
import { driveConfigs, readPlan } from '../host/vm-plan.js';
import type { MemoryBackend, StartMode } from '../process/command-line.js';
import { machineConfig } from '../process/machine.js';
import { spawnVmm } from '../process/spawn-vmm.js';
import type { QemuContext } from './context.js';
import { LiveVm } from './live-vm.js';

export interface LaunchOptions {
  readonly memory: MemoryBackend;
  readonly start: StartMode;
  readonly inheritedFd?: number;
  /** Marked as soon as the process is there. */
  readonly step: string;
}

/** Starts a VM's QEMU and connects to its monitor. What fails leaves a process for `halt`. */
export async function launch(
  context: QemuContext,
  vm: DriverVm,
  options: LaunchOptions,
  run: Run,
): Promise<LiveVm> {
  const { host, table, ownerDeath } = context;
  const { step, ...input } = options;
  const directory = folderOf(vm);
  const isOwned = vm.spec.onOwnerDeath === 'destroy';
  if (isOwned) await ownerDeath.ready();
  run.signal.throwIfAborted();
  const live = await table.start(vm.instanceId, async () => {
    const process = await spawnVmm({
      ...input,
      qemuPath: host.qemuPath,
      directory,
      instanceId: vm.instanceId,
      machine: machineConfig(vm.spec, host.accelerator, driveConfigs(readPlan(vm.plan))),
    });
    return new LiveVm(vm, directory, process);
  });
  if (isOwned) await ownerDeath.add(live.identity, directory);
  await run.step(step);
  await live.connect(run.signal);
  return live;
}
