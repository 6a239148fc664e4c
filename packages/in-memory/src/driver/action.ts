import { VmRuntimeError, type Run, type VmEnding } from '@microvm/runtime';
import type { DriverMethod, DriverStep } from './driver-points.js';
import type { Fault, Faults } from '../faults.js';
import type { MemoryVm, Turn } from './memory-vm.js';

type CrashFault = Extract<Fault, { readonly kind: 'crash' }>;

/** Methods that look at a VM without taking a turn of their own. */
const LOOKS_ONLY: readonly DriverMethod[] = ['adopt', 'guest'];

/** Methods that have to deal with a VM that ended, whatever it ended by. */
const COPES_WITH_ENDING: readonly DriverMethod[] = ['shutdown', 'halt', 'release', ...LOOKS_ONLY];

/** The VM of a method's call ended by itself. */
function vmmExited(vmId: string, method: string, ending: VmEnding): VmRuntimeError {
  const { reason, exitCode, signal, lastLogLines } = ending;
  return new VmRuntimeError('MICROVM_VMM_EXITED', `${method} "${vmId}": its VMM has ended: ${reason}`, {
    details: { exitCode, signal, lastLogLines },
  });
}

/** How a VM ends by a fault. */
export function crashEnding({ ending }: CrashFault): VmEnding {
  return { reason: 'vmm-exit', exitCode: null, signal: 'SIGKILL', lastLogLines: [], ...ending };
}

export interface ActionParts {
  readonly method: DriverMethod;
  readonly vmId: string;
  /** Undefined for a VM that the driver does not have. */
  readonly vm: MemoryVm | undefined;
  /** Undefined for methods that nothing can abort. */
  readonly run: Run | undefined;
  readonly faults: Faults;
  /** Makes the VM end as a fault wants it; nothing happens to one that has no VMM. */
  crash(vm: MemoryVm, ending: VmEnding): void;
}

/** One call of a driver method on one VM, from its faults at the beginning to its last step. */
export class Action {
  readonly turn: Turn;
  /** What a fault says that `release` leaves behind. */
  readonly left: string[] = [];
  readonly #parts: ActionParts;

  constructor(parts: ActionParts) {
    this.#parts = parts;
    this.turn = { method: parts.method, signal: parts.run?.signal, isHanging: false };
  }

  get method(): DriverMethod {
    return this.#parts.method;
  }

  get signal(): AbortSignal | undefined {
    return this.#parts.run?.signal;
  }

  get isLook(): boolean {
    return LOOKS_ONLY.includes(this.method);
  }

  /** The faults that are planted at the method itself. */
  async enter(): Promise<void> {
    await this.#strike(this.method);
    this.check();
  }

  /** Marks an effect that was made, and lets the faults that are planted there strike. */
  async step(name: DriverStep): Promise<void> {
    // Not given up by an abort while it waits: it stands for the effect itself, which cannot be either.
    await this.#parts.run?.step(name);
    await this.#strike(name);
    this.check();
  }

  /** The work of this name is done. */
  progress(step: string): void {
    this.#parts.run?.progress({ step, done: 1, total: 1, unit: 'steps' });
  }

  /** Ends the method where it must not go on: it was given up, it was aborted, or its VM has ended. */
  check(): void {
    const { method, vm, vmId } = this.#parts;
    if (vm !== undefined && vm.turn !== this.turn && !this.isLook) {
      throw new Error(`${method} "${vmId}": it was given up meanwhile`);
    }
    this.signal?.throwIfAborted();
    if (COPES_WITH_ENDING.includes(method)) return;
    if (vm?.condition === 'ended' && vm.ending !== undefined) throw vmmExited(vmId, method, vm.ending);
  }

  async #strike(at: string): Promise<void> {
    const { faults, method, vm, vmId } = this.#parts;
    if (faults.isEmpty) return;
    const onHang = (isHanging: boolean): void => {
      this.turn.isHanging = isHanging;
    };
    const effect = await faults.strike({ at, vmId, signal: this.signal, onHang });
    if (effect?.kind === 'leave') this.left.push(...effect.left);
    if (effect?.kind !== 'crash' || vm === undefined) return;
    const ending = crashEnding(effect);
    this.#parts.crash(vm, ending);
    // Without a VMM there was nothing to end: then the method fails as if its own attempt at one had.
    if (!vm.hasVmm && !COPES_WITH_ENDING.includes(method)) throw vmmExited(vmId, method, ending);
  }
}
