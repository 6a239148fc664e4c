import type { AgentChannel } from './agent-channel.js';
import type { WorkloadOptions } from './workload.js';

// The share of the guest's time that its processes may take between SIGTERM and SIGKILL; the rest is for its
// disks.
const TERM_SHARE = 0.5;
const ASK_TIMEOUT_MS = 2000;
const LONGEST_GRACE_MS = 600_000;

/**
 * Asks the agent to flush and halt the guest within the VM's `shutdownTimeoutMs`. Answers whether it was
 * told; the guest's end is still to come then. Rejects only by the signal.
 */
export async function askToShutDown(
  channel: AgentChannel,
  { vm, signal }: WorkloadOptions,
): Promise<boolean> {
  const { shutdownTimeoutMs } = vm.spec;
  const timeoutMs = Math.min(ASK_TIMEOUT_MS, shutdownTimeoutMs);
  try {
    const agent = await channel.connect({ signal, timeoutMs });
    const graceMs = Math.min(Math.floor(shutdownTimeoutMs * TERM_SHARE), LONGEST_GRACE_MS);
    await agent.shutdown('poweroff', { graceMs, signal, timeoutMs });
    return true;
  } catch (error) {
    if (signal.aborted) throw error;
    return false;
  }
}
