import type { VmEnding } from '@microvm/runtime';
import { flush } from '../metrics/metrics.js';
import type { FirecrackerContext } from './context.js';
import type { FirecrackerVm } from './firecracker-vm.js';
import { clearLife } from './halt.js';
import type { LiveVm } from './live-vm.js';

// A VMM that is killed takes along what it has counted since its last line.
const LAST_FLUSH_TIMEOUT_MS = 500;

/** How the guest of a `live` VM took the request to halt. */
export interface AskedVm {
  readonly vm: FirecrackerVm;
  readonly live: LiveVm;
  /** Undefined: it did not halt in time. */
  readonly ending: VmEnding | undefined;
}

/** Ends the Firecracker of a guest that was asked to halt, by force where the guest did not halt in time. */
export async function finishShutdown(
  context: FirecrackerContext,
  { vm, live, ending }: AskedVm,
  signal: AbortSignal,
): Promise<VmEnding> {
  if (ending === undefined) await flush(live, signal, LAST_FLUSH_TIMEOUT_MS);
  await clearLife(context, vm);
  if (ending !== undefined && !endedWithoutFarewell(ending)) return ending;
  return { ...(await live.ended), reason: 'killed' };
}

/**
 * A guest that did as it was told, but whose farewell nobody can have heard: whether it flushed is not known,
 * so it counts as forced.
 */
function endedWithoutFarewell({ reason, exitCode }: VmEnding): boolean {
  return reason === 'vmm-exit' && exitCode === 0;
}
