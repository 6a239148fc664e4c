import type { FoundState } from '@microvm/driver-kit';
import { watchProcess, type ProcessIdentity } from '@microvm/native';
import type { Limits } from '@microvm/runtime';
import type { FirecrackerContext } from './context.js';
import type { FirecrackerVm } from './firecracker-vm.js';
import { readLife } from './life.js';
import { LiveVm } from './live-vm.js';

/** The life of a Firecracker that an earlier owner started. */
export async function lifeOf(
  { metrics, stateDir }: FirecrackerContext,
  vm: FirecrackerVm,
  identity: ProcessIdentity,
): Promise<LiveVm> {
  const life = await readLife(vm.directory);
  return new LiveVm({ vm, stateDir, process: watchProcess(identity), life, ledger: metrics.of(vm) });
}

/** Asks Firecracker for its guest. */
export async function stateOf(live: LiveVm, limits: Limits): Promise<FoundState> {
  switch (await live.state(limits)) {
    case 'Not started':
      // A restore that was broken off: there is no guest in it.
      return { ended: 'lost' };
    case 'Running':
      return 'running';
    case 'Paused':
      return 'paused';
  }
}
