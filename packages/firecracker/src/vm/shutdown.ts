import { askToHalt } from '@microvm/driver-kit';
import type { DriverVm, Run, VmEnding } from '@microvm/runtime';
import { reportEnd, type FirecrackerContext } from './context.js';
import { clearLife } from './halt.js';
import { flush } from '../metrics/metrics.js';

// What a VMM has counted since its last line goes with it when it is killed.
const LAST_FLUSH_TIMEOUT_MS = 500;

/**
 * Asks the guest to flush and halt; what is not over in `shutdownTimeoutMs` is ended by force. Afterwards Firecracker is gone. Rejects
 * only by the signal; then nothing was forced.
 */
export async function shutdownVm(context: FirecrackerContext, vm: DriverVm, run: Run): Promise<VmEnding> {
  const live = context.table.liveOf(vm);
  live.expectEnd();
  try {
    const ending = await askToHalt(live, vm, run);
    if (ending === undefined) await flush(live, run.signal, LAST_FLUSH_TIMEOUT_MS);
    await clearLife(context, vm);
    return ending === undefined || hasLeftInSilence(ending)
      ? { ...(await live.ended), reason: 'killed' }
      : ending;
  } catch (error) {
    reportEnd(context, live);
    throw error;
  }
}

/** A guest that did as it was told, but whose farewell nobody can have heard: whether it flushed is not known, so it counts as forced. */
function hasLeftInSilence({ reason, exitCode }: VmEnding): boolean {
  return reason === 'vmm-exit' && exitCode === 0;
}
