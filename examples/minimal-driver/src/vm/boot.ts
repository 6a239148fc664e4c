import type { VmTable } from '@microvm/driver-kit';
import type { Run } from '@microvm/runtime';
import type { MinimalVm } from '../host/vm-plan.js';
import { spawnVmm } from '../process/spawn-vmm.js';
import { LiveVm } from './live-vm.js';

/** Starts the VMM of a VM that has none. What fails leaves a process for `halt`. */
export async function launch(
  table: VmTable<LiveVm>,
  vm: MinimalVm,
  load: string | undefined,
  run: Run,
): Promise<LiveVm> {
  return table.start(vm, async () => {
    run.signal.throwIfAborted();
    return new LiveVm(vm, await spawnVmm(vm, load));
  });
}

/** Cold boot. The guest is ready when its VMM says that it was started. */
export async function bootVm(table: VmTable<LiveVm>, vm: MinimalVm, run: Run): Promise<LiveVm> {
  const live = await launch(table, vm, undefined, run);
  await run.step('boot:spawned');
  await live.request('PUT', '/boot', { signal: run.signal });
  await run.step('boot:ready');
  return live;
}
