import { askToHalt, reasonFromConsole, within } from '@microvm/driver-kit';
import type { ProcessExit } from '@microvm/native';
import type { DriverVm, Run, VmEnding } from '@microvm/runtime';
import { reportEnd, type QemuContext } from './context.js';
import { endLife } from './halt.js';
import type { LiveVm } from './live-vm.js';

const QUIT_TIMEOUT_MS = 2000;

/**
 * Asks the guest to flush and halt; what is not over in `shutdownTimeoutMs` is ended by force. Afterwards QEMU is gone. Rejects only by
 * the signal; then nothing was forced.
 */
export async function shutdownVm(context: QemuContext, vm: DriverVm, run: Run): Promise<VmEnding> {
  const live = context.table.liveOf(vm);
  live.expectEnd();
  try {
    return await finish(context, live, await askToHalt(live, vm, run));
  } catch (error) {
    reportEnd(context, live);
    throw error;
  }
}

async function finish(context: QemuContext, live: LiveVm, ending: VmEnding | undefined): Promise<VmEnding> {
  const exit = await quit(context, live);
  const facts = exit === undefined ? {} : { exitCode: exit.exitCode, signal: exit.signal };
  if (ending === undefined) {
    const { lastLogLines } = await live.ended;
    return { reason: 'killed', exitCode: 'unknown', signal: null, lastLogLines, ...facts };
  }
  if (ending.reason === 'vmm-exit') return ending;
  const hasSaidFarewell = (await reasonFromConsole(live.directory)) === 'shutdown';
  const reason = ending.reason === 'power-off' && hasSaidFarewell ? 'shutdown' : ending.reason;
  return { ...ending, ...facts, reason };
}

/** Lets QEMU write back what it holds of the disks; one that does not answer is killed. */
async function quit(context: QemuContext, live: LiveVm): Promise<ProcessExit | undefined> {
  const timeoutMs = QUIT_TIMEOUT_MS;
  await live.command('quit', {}, { timeoutMs }).catch(() => undefined); // it may be gone before it answers
  const exit = await within<ProcessExit | undefined>(live.process.exited, { timeoutMs }, () => undefined);
  await endLife(context, live);
  return exit ?? live.process.exited;
}
