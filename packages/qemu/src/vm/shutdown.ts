import { reasonFromConsole } from '@microvm/driver-kit';
import type { ProcessExit } from '@microvm/native';
import { type VmEnding, within } from '@microvm/runtime';
import type { QemuContext } from './context.js';
import { clearLife } from './halt.js';
import type { LiveVm } from './live-vm.js';
import type { QemuVm } from './qemu-vm.js';

const QUIT_TIMEOUT_MS = 2000;

/** Ends the QEMU of a guest that was asked to halt, by force where the guest did not halt in time. */
export async function finishShutdown(
  context: QemuContext,
  vm: QemuVm,
  live: LiveVm,
  ending: VmEnding | undefined,
): Promise<VmEnding> {
  const exit = await quit(context, vm, live);
  const facts = exit === undefined ? {} : { exitCode: exit.exitCode, signal: exit.signal };
  if (ending === undefined) {
    const { lastLogLines } = await live.ended;
    return { reason: 'killed', exitCode: 'unknown', signal: null, lastLogLines, ...facts };
  }
  if (ending.reason === 'vmm-exit') return ending;
  // A console that cannot be read any more says nothing; the guest has ended all the same.
  const said = await reasonFromConsole(live.directory).catch(() => undefined);
  const hasSaidFarewell = said === 'shutdown';
  const reason = ending.reason === 'power-off' && hasSaidFarewell ? 'shutdown' : ending.reason;
  return { ...ending, ...facts, reason };
}

/** Lets QEMU write back what it holds of the disks. A QEMU that does not answer is killed. */
async function quit(context: QemuContext, vm: QemuVm, live: LiveVm): Promise<ProcessExit | undefined> {
  const timeoutMs = QUIT_TIMEOUT_MS;
  await live.command('quit', {}, { timeoutMs }).catch(() => undefined); // it may be gone before it answers
  const exit = await within<ProcessExit | undefined>(live.process.exited, { timeoutMs }, () => undefined);
  await clearLife(context, vm);
  return exit ?? live.process.exited;
}
