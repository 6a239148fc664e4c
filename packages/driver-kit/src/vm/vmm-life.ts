import type { ProcessExit, ProcessIdentity, ProcessWatch } from '@microvm/native';
import { type DriverVm, type VmEnding, VmRuntimeError, within } from '@microvm/runtime';
import type { AgentChannel } from '../guest/agent-channel.js';
import { killVmm, vmmExited, vmmFailure, type VmmName } from '../process/process-end.js';
import {
  ConnectionClosedError,
  RequestRefusedError,
  RequestTimeoutError,
} from '../process/request-errors.js';
import type { Ending } from './ending.js';

// Between the end of a connection and that of the process behind it.
const EXIT_AFTER_HANGUP_MS = 1000;

export interface VmmLifeOptions {
  /** The VMM's own name, such as `QEMU`. */
  readonly vmm: string;
  readonly vm: DriverVm;
  /** The VM's own folder. */
  readonly directory: string;
  readonly process: ProcessWatch;
  /**
   * What the VM has beside its folder, such as folders and cgroups; removed with the VM when it must not
   * outlive its owner.
   */
  readonly others?: readonly string[];
}

/**
 * One life of a VM: the process of its VMM, the agent's session, and how it ends. How one speaks to the VMM
 * is the driver's.
 */
export abstract class VmmLife {
  readonly instanceId: string;
  readonly directory: string;
  readonly process: ProcessWatch;
  /** What is removed, in this order, of a VM that must not outlive its owner. */
  readonly remains: readonly string[];
  abstract readonly agent: AgentChannel;
  protected abstract readonly ending: Ending;
  readonly #name: VmmName;

  protected constructor({ vmm, vm, directory, process, others = [] }: VmmLifeOptions) {
    this.instanceId = vm.instanceId;
    this.directory = directory;
    this.process = process;
    this.remains = [...others, directory];
    this.#name = {
      vmm,
      instanceId: vm.instanceId,
      get vmId() {
        return vm.vmId;
      },
    };
    // Commands that waited for the end of a pause learn that it will not come.
    void process.exited.then(() => this.agent.release());
  }

  get identity(): ProcessIdentity {
    return this.process.identity;
  }

  /** Resolves once, however this life ends. */
  get ended(): Promise<VmEnding> {
    return this.ending.ended;
  }

  get hasEnded(): boolean {
    return this.ending.hasEnded;
  }

  /** Reports an end that nobody asked for, once. Also when the end has come already. */
  onUnaskedEnd(report: (ending: VmEnding) => void): void {
    this.ending.onUnasked(report);
  }

  /** From now on the end is asked for. */
  expectEnd(): void {
    this.ending.expect();
  }

  /** Ends the process; resolves when it is gone. */
  async kill(): Promise<void> {
    this.expectEnd();
    await killVmm(this.process, this.#name);
  }

  /** Lets go of the life: the VM runs on. */
  close(): void {
    this.expectEnd();
    this.agent.close();
    this.process.close();
  }

  /** The caller's error when the process is gone. */
  exited(exit: ProcessExit): Promise<VmRuntimeError> {
    return vmmExited(this.#name, exit, this.directory);
  }

  /**
   * A call to the VMM. Rejects with `MICROVM_VMM_REJECTED`, `MICROVM_TIMEOUT`, `MICROVM_VMM_EXITED` or the
   * signal's reason.
   */
  protected async translated<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      throw await this.#translate(error);
    }
  }

  async #translate(error: unknown): Promise<unknown> {
    const who = `${this.#name.vmm} of "${this.#name.vmId}"`;
    if (error instanceof RequestRefusedError) {
      const { request, status, faultMessage } = error;
      return new VmRuntimeError('MICROVM_VMM_REJECTED', `${who}: ${error.message}`, {
        details: { request, status, faultMessage },
        cause: error,
      });
    }
    if (error instanceof RequestTimeoutError) {
      const details = { operation: error.request, timeoutMs: error.timeoutMs };
      return new VmRuntimeError('MICROVM_TIMEOUT', `${who}: ${error.message}`, { details, cause: error });
    }
    if (!(error instanceof ConnectionClosedError)) return error;
    const exit = await within<ProcessExit | undefined>(
      this.process.exited,
      { timeoutMs: EXIT_AFTER_HANGUP_MS },
      () => undefined,
    );
    return exit === undefined ? vmmFailure(this.#name, error.message, error) : this.exited(exit);
  }
}
