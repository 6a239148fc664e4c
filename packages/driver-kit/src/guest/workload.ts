import { randomBytes } from 'node:crypto';
import type { AgentClient, ThawOptions } from '@microvm/guest';
import { type DriverVm, isVmRuntimeError, type Resumption, VmRuntimeError, within } from '@microvm/runtime';
import type { AgentChannel } from './agent-channel.js';

// Less than the engine's grace for a driver together: a guest that does not answer is held all the same.
const FREEZE_TIMEOUT_MS = 3000;
const CONNECT_TIMEOUT_MS = 2000;
const REPAIR_TIMEOUT_MS = 10_000;
const LOOK_TIMEOUT_MS = 2000;
const ENTROPY_BYTES = 64;

/** Whose workload it is, and until when it may be waited for. */
export interface WorkloadOptions {
  readonly vm: DriverVm;
  readonly signal: AbortSignal;
}

/**
 * Freezes the workload and writes the guest's file systems back. Answers with the agent that did so.
 * Undefined when no agent did so in time: the CPUs are then held while the workload runs. Rejects only by the
 * signal.
 */
export async function freezeWorkload(
  channel: AgentChannel,
  signal: AbortSignal,
): Promise<AgentClient | undefined> {
  channel.hold();
  try {
    const agent = await channel.connect({ signal, timeoutMs: CONNECT_TIMEOUT_MS });
    await agent.freeze({ signal, timeoutMs: FREEZE_TIMEOUT_MS });
    return agent;
  } catch (error) {
    if (!signal.aborted) return undefined;
    channel.release();
    throw error;
  }
}

/**
 * Thaws a workload that should be running, without waiting for the outcome. `agent` is the agent that froze
 * the workload, if any.
 */
export function unfreezeWorkload(channel: AgentChannel, agent: AgentClient | undefined): void {
  agent?.thaw({ timeoutMs: FREEZE_TIMEOUT_MS }).catch(() => undefined);
  channel.release();
}

/**
 * Lets the workload go on once its guest has been told what it missed: after a pause the time, after a
 * restore also that it is another life, entropy of the host, and the instance's id for its machine id. A
 * workload that was not frozen is repaired all the same.
 */
export async function thawWorkload(
  channel: AgentChannel,
  how: Resumption,
  { vm, signal }: WorkloadOptions,
): Promise<void> {
  const deadline = performance.now() + REPAIR_TIMEOUT_MS;
  for (;;) {
    const limits = { signal, timeoutMs: Math.max(1, Math.ceil(deadline - performance.now())) };
    const agent = await channel.connect(limits);
    try {
      if (vm.settings !== undefined) await agent.configure(vm.settings, limits);
      await agent.thaw({ ...identityAfter(how, vm, agent), wallClockMs: Date.now(), ...limits });
      channel.release();
      return;
    } catch (error) {
      // A guest that was loaded resets its vsock as soon as it sees that, and cuts what was connected by
      // then; to be told twice does it no harm.
      const wasCut = isVmRuntimeError(error, 'MICROVM_GUEST_UNREACHABLE');
      if (!wasCut || signal.aborted || performance.now() >= deadline) throw error;
      await agent.closed;
    }
  }
}

function identityAfter(how: Resumption, { instanceId }: DriverVm, { epoch }: AgentClient): ThawOptions {
  if (how === 'pause') return {};
  return { epoch: epoch + 1, entropy: randomBytes(ENTROPY_BYTES), machineId: instanceId };
}

/**
 * Thaws the guest of a VM that was taken over, because a pause that was broken off leaves a frozen workload.
 * A guest that does not answer counts as running. Rejects only by the signal.
 */
export async function ensureThawed(channel: AgentChannel, { vm, signal }: WorkloadOptions): Promise<void> {
  if (vm.spec.agent === 'none') return;
  const limits = { signal, timeoutMs: LOOK_TIMEOUT_MS };
  const look = async (): Promise<void> => {
    const agent = await channel.connect(limits);
    const { isFrozen } = await agent.ping(limits);
    if (isFrozen) await thawWorkload(channel, 'pause', { vm, signal });
  };
  const given = look().catch(() => undefined);
  await within(given, limits, () => undefined);
}

/** Tells the agent of a running guest what it must still be told. Rejects as the agent's calls do. */
export async function configureGuest(channel: AgentChannel, { vm, signal }: WorkloadOptions): Promise<void> {
  if (vm.settings === undefined) return;
  const agent = await channel.connect({ signal });
  await agent.configure(vm.settings, { signal });
}

/** The caller's error when a guest could not be repaired: the guest does not run. */
export function unrepaired(vm: DriverVm, how: Resumption, cause: unknown): VmRuntimeError {
  const reason = `not repaired after ${how === 'pause' ? 'a pause' : 'a restore'}: ${(cause as Error).message}`;
  return new VmRuntimeError('MICROVM_GUEST_UNREACHABLE', `guest of "${vm.vmId}": ${reason}`, {
    details: { vmId: vm.vmId, reason },
    cause,
  });
}
