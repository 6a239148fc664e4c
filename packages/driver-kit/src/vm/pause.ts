import type { DriverVm, Limits, Resumption, Run } from '@microvm/runtime';
import type { AgentChannel } from '../guest/agent-channel.js';
import { freezeWorkload, thawWorkload, unfreezeWorkload, unrepaired } from '../guest/workload.js';

// A VMM answers when the disks' writes in flight are done.
const HOLD_TIMEOUT_MS = 60_000;
const HOLD_AGAIN_TIMEOUT_MS = 10_000;

/** One life of a VM, as far as a pause has to do with it. */
export interface PausableVm {
  readonly agent: AgentChannel;
  isRunning(limits: Limits): Promise<boolean>;
  /** Resolves when no CPU runs. */
  holdCpus(limits: Limits): Promise<void>;
  releaseCpus(limits: Limits): Promise<void>;
}

/** The steps of `pauseVm` and `resumeVm`, for a driver's list. */
export const PAUSE_STEPS = ['pause:frozen', 'pause:held', 'resume:going', 'resume:repaired'] as const;

/**
 * Freezes the workload, so that a restored one can be repaired before it goes on, and holds the CPUs. Without
 * effect on a VM that is paused.
 */
export async function pauseVm(live: PausableVm, vm: DriverVm, run: Run): Promise<void> {
  const { signal } = run;
  if (!(await live.isRunning({ signal }))) return;
  const agent = vm.spec.agent === 'required' ? await freezeWorkload(live.agent, signal) : undefined;
  try {
    await run.step('pause:frozen');
    await live.holdCpus({ signal, timeoutMs: HOLD_TIMEOUT_MS });
  } catch (error) {
    // Running and frozen is no state that the contract has.
    unfreezeWorkload(live.agent, agent);
    throw error;
  }
  await run.step('pause:held');
}

/**
 * Lets the CPUs go on and the workload after them, once the guest was told what it missed. Without effect on
 * a VM that runs. Fails closed, with `MICROVM_GUEST_UNREACHABLE`: a guest that could not be repaired is held
 * again.
 */
export async function resumeVm(live: PausableVm, vm: DriverVm, how: Resumption, run: Run): Promise<void> {
  const { signal } = run;
  if (await live.isRunning({ signal })) return;
  await live.releaseCpus({ signal });
  await run.step('resume:going');
  if (vm.spec.agent === 'none') return;
  try {
    await thawWorkload(live.agent, how, { vm, signal });
  } catch (error) {
    await live.holdCpus({ timeoutMs: HOLD_AGAIN_TIMEOUT_MS }).catch(() => undefined);
    throw signal.aborted ? error : unrepaired(vm, how, error);
  }
  await run.step('resume:repaired');
}
