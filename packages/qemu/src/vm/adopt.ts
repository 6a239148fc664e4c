import { reasonFromConsole, type EndingReason, type FoundState } from '@microvm/driver-kit';
import { watchProcess, type ProcessIdentity } from '@microvm/native';
import type { Limits } from '@microvm/runtime';
import { LiveVm } from './live-vm.js';
import { cancelMigration } from './migration.js';
import type { QemuVm } from './qemu-vm.js';

/** The life of a QEMU that an earlier owner started. */
export function lifeOf(vm: QemuVm, identity: ProcessIdentity): LiveVm {
  return new LiveVm(vm, watchProcess(identity));
}

/** Asks QEMU for its guest. A migration that a broken-off method has left under way is ended. */
export async function stateOf(live: LiveVm, limits: Limits): Promise<FoundState> {
  await live.connect(limits.signal);
  const status = await live.status(limits);
  const ended = await endingBehind(status, live.directory);
  if (ended !== undefined) return { ended };
  if (status === 'running') return 'running';
  await cancelMigration(live);
  return 'paused';
}

/** How a guest ended whose QEMU is still there; undefined when it did not. */
async function endingBehind(status: string, directory: string): Promise<EndingReason | undefined> {
  switch (status) {
    case 'guest-panicked':
      return 'panic';
    case 'shutdown': {
      // QEMU does not keep whether it was a reset or a power-off; the agent's farewell on the console tells.
      const said = await reasonFromConsole(directory);
      return said === 'shutdown' || said === undefined ? 'power-off' : said;
    }
    case 'internal-error':
      return 'vmm-exit';
    // A restore that was broken off: there is no guest in it.
    case 'inmigrate':
      return 'lost';
    default:
      return undefined;
  }
}
