import { AssertionError } from 'node:assert';
import type { Capabilities, CaptureTarget, DriverVm } from '@microvm/runtime';
import type { DriverMethod } from './driver/driver-points.js';
import type { Condition, MemoryVm } from './driver/memory-vm.js';

/** Driver methods that act on one VM. */
export type VmMethod = Exclude<DriverMethod, 'checkSpec' | 'checkSnapshot'>;

/** In which conditions the interface of drivers allows a method; `absent`: the driver has no such VM. */
const ALLOWED: Readonly<Record<VmMethod, readonly (Condition | 'absent')[]>> = {
  prepare: ['absent'],
  boot: ['cold'],
  // The engine may call a method on an `ended` VM, because it may not have heard of the end yet. The method
  // then rejects.
  pause: ['running', 'paused', 'ended'],
  resume: ['running', 'paused', 'ended'],
  shutdown: ['running', 'ended'],
  halt: ['absent', 'incomplete', 'cold', 'booting', 'running', 'paused', 'ended'],
  capture: ['cold', 'paused', 'ended'],
  restore: ['absent'],
  release: ['absent', 'incomplete', 'cold', 'booting', 'running', 'paused', 'ended'],
  adopt: ['absent', 'cold', 'running', 'paused', 'ended'],
  // Serialised with nothing: the guest may have gone by the time of the call.
  // As for `pause`.
  configure: ['running', 'ended'],
  guest: ['incomplete', 'cold', 'booting', 'running', 'paused', 'ended'],
};

/** Methods that may come in between once another one was given up. */
const MAY_CUT_IN: readonly VmMethod[] = ['halt', 'release', 'adopt'];

/** Told of each broken rule. */
export type OnBreach = (breach: AssertionError) => void;

/**
 * The rules of the driver interface. A call that breaks a rule is a bug of the engine, not a condition to
 * handle, so it throws an `AssertionError`. The breach is also reported to `onBreach`, because an engine may
 * take the throw for one more failure of a driver.
 */
export class Rules {
  readonly #onBreach: OnBreach;

  constructor(onBreach: OnBreach) {
    this.#onBreach = onBreach;
  }

  insist(condition: boolean, message: string): void {
    if (condition) return;
    const breach = new AssertionError({ message: `in-memory driver: ${message}` });
    this.#onBreach(breach);
    throw breach;
  }

  /** The method may be called in the VM's condition. */
  insistAllowed(method: VmMethod, vm: MemoryVm | undefined, vmId: string): void {
    const condition = vm?.condition ?? 'absent';
    const allowed = ALLOWED[method];
    this.insist(
      allowed.includes(condition),
      `${method} of "${vmId}" while it is ${condition}; allowed: ${allowed.join(', ')}`,
    );
  }

  /**
   * No other method is at work on the VM, or the other method was given up: it was aborted and has not let
   * go, or it hangs and nothing can abort it.
   */
  insistAlone(method: VmMethod, vm: MemoryVm | undefined, vmId: string): void {
    const turn = vm?.turn;
    if (turn === undefined) return;
    const wasGivenUp = turn.signal === undefined ? turn.isHanging : turn.signal.aborted;
    this.insist(
      wasGivenUp && MAY_CUT_IN.includes(method),
      `${method} of "${vmId}" while its ${turn.method} is at work`,
    );
  }

  /** The driver has the ability, the VM the right condition, and both or neither have folders. */
  insistCapturable(vm: MemoryVm, of: DriverVm, target: CaptureTarget, capabilities: Capabilities): void {
    const isPaused = vm.condition === 'paused';
    this.insist(
      target.memory === isPaused,
      `capture ${target.memory ? 'with' : 'without'} memory of "${of.vmId}" while it is ${vm.condition}`,
    );
    const isCapable = target.memory ? capabilities.memorySnapshot : capabilities.diskSnapshot;
    this.insist(isCapable, `capture of "${of.vmId}", although capabilities say that it cannot be`);
    const haveFolders = (of.directory === undefined) === (target.directory === undefined);
    this.insist(
      haveFolders,
      `capture of "${of.vmId}": the VM has a folder and its snapshot none, or vice versa`,
    );
  }
}
