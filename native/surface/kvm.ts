import { object, untilAborted } from './calls.js';
import type { AbortOptions } from './errors.js';
import { loadAddon } from './load.js';

/**
 * One finding of the probe. A driver adds the severity, because only the driver knows how bad the finding is.
 */
export interface KvmFinding {
  readonly code: KvmFindingCode;
  readonly message: string;
  readonly remedy: string;
}

export type KvmFindingCode =
  | 'kvm-device-missing'
  | 'kvm-permission-denied'
  | 'kvm-device-busy'
  | 'kvm-device-error'
  | 'kvm-api-version'
  | 'kvm-extension-missing'
  | 'kvm-cannot-create-vm'
  | 'kvm-cannot-run-code'
  | 'kvm-cannot-handle-exceptions'
  | 'kvm-no-timer-interrupt'
  | 'kvm-too-slow'
  | 'kvm-arch-unsupported';

/** One step of the tiny guest. */
export interface KvmStage {
  /**
   * In this order: 16-bit code; 64-bit code with paging; an exception through the IDT and back; a timer
   * interrupt; instructions of the Linux kernel that some hosts cannot interpret; two million instructions
   * within 200 ms of processor time, as some hosts interpret all kernel code.
   */
  readonly name: 'real-mode' | 'long-mode' | 'exception' | 'timer-interrupt' | 'kernel-code' | 'speed';
  readonly passed: boolean;
  /** What the virtual CPU did last, such as `KVM_EXIT_INTERNAL_ERROR (suberror 1, emulation failure)`. */
  readonly detail: string;
}

export interface KvmReport {
  /**
   * True only when a guest took an exception and a timer interrupt in 64-bit mode, at a processor's speed.
   */
  readonly usable: boolean;
  /** The findings, worst first; empty when KVM is usable. */
  readonly findings: readonly KvmFinding[];
  /** KVM_GET_API_VERSION; null when the device could not be opened. */
  readonly apiVersion: number | null;
  /** True when this host is itself a virtual machine (then KVM here is nested, when it works at all). */
  readonly isNested: boolean;
  /** The steps that were run; empty when it did not come to that. A step after a failed one is not run. */
  readonly stages: readonly KvmStage[];
  readonly durationMs: number;
}

/**
 * Finds out whether KVM can run Linux here, by running a tiny guest. Takes a few milliseconds on a processor,
 * never more than five seconds, on a thread of its own. A host without KVM is a report, not an error. An
 * abort rejects at once; the tiny guest ends by itself.
 */
export function probeKvm(options: AbortOptions = {}): Promise<KvmReport> {
  const { signal } = object(options, 'options');
  return untilAborted(signal, () => loadAddon().probeKvm());
}
