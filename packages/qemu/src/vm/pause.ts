import { randomBytes } from 'node:crypto';
import type { AgentClient, ThawOptions } from '@microvm/guest';
import { VmRuntimeError, type DriverVm, type Resumption, type Run } from '@microvm/runtime';
import { liveOf, type QemuContext } from './context.js';
import type { LiveVm } from './live-vm.js';

// Less than the engine's grace for a driver together: a guest that does not answer is held all the same.
const FREEZE_TIMEOUT_MS = 3000;
const CONNECT_TIMEOUT_MS = 2000;
// QEMU answers when the disks' writes in flight are done.
const STOP_TIMEOUT_MS = 60_000;
const REPAIR_TIMEOUT_MS = 10_000;
const ENTROPY_BYTES = 64;

/** Freezes the workload, so that a restored one can be repaired before it goes on, and holds the CPUs. */
export async function pauseVm(context: QemuContext, vm: DriverVm, run: Run): Promise<void> {
  const live = liveOf(context, vm);
  const { signal } = run;
  if ((await live.status({ signal })) !== 'running') return;
  const agent = vm.spec.agent === 'required' ? await freeze(live, signal) : undefined;
  try {
    await run.step('pause:frozen');
    await live.command('stop', {}, { signal, timeoutMs: STOP_TIMEOUT_MS });
  } catch (error) {
    // Running and frozen is no state that the contract has.
    agent?.thaw({ timeoutMs: FREEZE_TIMEOUT_MS }).catch(() => undefined);
    throw error;
  }
  await run.step('pause:held');
}

/** Answers with the agent that froze the workload; undefined where none did: then the CPUs are held in the middle of it. */
async function freeze(live: LiveVm, signal: AbortSignal): Promise<AgentClient | undefined> {
  try {
    const agent = await live.agent.connect({ signal, timeoutMs: CONNECT_TIMEOUT_MS });
    await agent.freeze({ signal, timeoutMs: FREEZE_TIMEOUT_MS });
    return agent;
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}

/** Lets the CPUs go on and the workload after them, once the guest was told what it missed. */
export async function resumeVm(context: QemuContext, vm: DriverVm, how: Resumption, run: Run): Promise<void> {
  const live = liveOf(context, vm);
  const { signal } = run;
  if ((await live.status({ signal })) === 'running') return;
  await live.command('cont', {}, { signal });
  await run.step('resume:going');
  if (vm.spec.agent === 'none') return;
  try {
    await thaw(live, how, { vm, signal });
  } catch (error) {
    // Fails closed: a guest that could not be repaired does not run.
    await live.command('stop', {}, { timeoutMs: REPAIR_TIMEOUT_MS }).catch(() => undefined);
    throw signal.aborted ? error : unrepaired(vm, how, error);
  }
  await run.step('resume:repaired');
}

/** Lets a frozen workload go on that should be running. */
export async function thaw(
  live: LiveVm,
  how: Resumption,
  { vm, signal }: { readonly vm: DriverVm; readonly signal: AbortSignal },
): Promise<void> {
  const agent = await live.agent.connect({ signal, timeoutMs: REPAIR_TIMEOUT_MS });
  const identity: ThawOptions =
    how === 'pause'
      ? {}
      : { epoch: agent.epoch + 1, entropy: randomBytes(ENTROPY_BYTES), machineId: vm.instanceId };
  await agent.thaw({ ...identity, wallClockMs: Date.now(), signal, timeoutMs: REPAIR_TIMEOUT_MS });
}

function unrepaired(vm: DriverVm, how: Resumption, cause: unknown): VmRuntimeError {
  const reason = `not repaired after ${how === 'pause' ? 'a pause' : 'a restore'}: ${(cause as Error).message}`;
  return new VmRuntimeError('MICROVM_GUEST_UNREACHABLE', `guest of "${vm.vmId}": ${reason}`, {
    details: { vmId: vm.vmId, reason },
    cause,
  });
}
