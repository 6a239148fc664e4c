import { askToShutDown, within } from '@microvm/driver-kit';
import type { DriverVm, Run, VmEnding } from '@microvm/runtime';
import { reportEnd, type FirecrackerContext } from './context.js';
import { clearLife } from './halt.js';
import type { LiveVm } from './live-vm.js';

const ASK_TIMEOUT_MS = 2000;

/**
 * Asks the guest to flush and halt: its agent, else Ctrl-Alt-Del, which a guest without an agent may listen to. What is not over in
 * `shutdownTimeoutMs` is ended by force. Afterwards Firecracker is gone. Rejects only by the signal; then nothing was forced.
 */
export async function shutdownVm(context: FirecrackerContext, vm: DriverVm, run: Run): Promise<VmEnding> {
  const live = context.table.liveOf(vm);
  const { signal } = run;
  const timeoutMs = vm.spec.shutdownTimeoutMs;
  live.expectEnd();
  try {
    const ended = within<VmEnding | undefined>(live.ended, { signal, timeoutMs }, () => undefined);
    ended.catch(() => undefined);
    if (timeoutMs > 0 && !live.hasEnded) await ask(live, vm, signal);
    await run.step('shutdown:asked');
    const ending = await ended;
    if (ending !== undefined) await run.step('shutdown:halted');
    await clearLife(context, vm);
    return ending ?? { ...(await live.ended), reason: 'killed' };
  } catch (error) {
    reportEnd(context, live);
    throw error;
  }
}

async function ask(live: LiveVm, vm: DriverVm, signal: AbortSignal): Promise<void> {
  if (vm.spec.agent === 'required' && (await askToShutDown(live.agent, { vm, signal }))) return;
  await live.act('SendCtrlAltDel', { signal, timeoutMs: ASK_TIMEOUT_MS }).catch(() => undefined);
  signal.throwIfAborted();
}
