import { type DriverVm, type Limits, type Run, type VmEnding, within } from '@microvm/runtime';
import type { AgentChannel } from '../guest/agent-channel.js';
import { askToShutDown } from '../guest/ask-to-shut-down.js';

const ASK_TIMEOUT_MS = 2000;

/** One life of a VM, as far as its guest can be asked to end it. */
export interface HaltableVm {
  readonly agent: AgentChannel;
  /** Resolves once, when the guest or its VMM has ended. Never rejects. */
  readonly ended: Promise<VmEnding>;
  readonly hasEnded: boolean;
  /** Tells the guest by the machine, as a power button does; a guest without an agent may listen to it. */
  pressPowerButton(limits: Limits): Promise<void>;
}

/** The steps of `askToHalt`, for a driver's list. */
export const SHUTDOWN_STEPS = ['shutdown:asked', 'shutdown:halted'] as const;

/**
 * Asks the guest to flush and halt, by its agent and by the power button, and waits for that as long as the
 * VM's `shutdownTimeoutMs`. Answers how it ended; undefined when it did not. Rejects only by the signal;
 * forces nothing.
 */
export async function askToHalt(live: HaltableVm, vm: DriverVm, run: Run): Promise<VmEnding | undefined> {
  const { signal } = run;
  const timeoutMs = vm.spec.shutdownTimeoutMs;
  const ended = within<VmEnding | undefined>(live.ended, { signal, timeoutMs }, () => undefined);
  ended.catch(() => undefined);
  if (timeoutMs > 0 && !live.hasEnded) await ask(live, vm, signal);
  await run.step('shutdown:asked');
  const ending = await ended;
  if (ending !== undefined) await run.step('shutdown:halted');
  return ending;
}

async function ask(live: HaltableVm, vm: DriverVm, signal: AbortSignal): Promise<void> {
  // The button is pressed also when the agent says that it will: an agent that is not the guest's init can
  // ask the init and no more. To our own init the button says what it was told already.
  if (vm.spec.agent === 'required') await askToShutDown(live.agent, { vm, signal });
  if (live.hasEnded) return;
  await live.pressPowerButton({ signal, timeoutMs: ASK_TIMEOUT_MS }).catch(() => undefined);
  signal.throwIfAborted();
}
