import type { ConsoleOptions, DriverVm } from '@microvm/runtime';
import { folderOf } from '../vm/process-vm.js';
import { readConsole } from './console-reader.js';

/** Who reads the consoles of which VMs: so that followers end with the VM's release, and with the runtime. */
export class Consoles {
  readonly #readers = new Map<string, AbortController>();

  /**
   * Reads a VM's console. `release` and `close` end a follower after it has received all that was written.
   */
  read(vm: DriverVm, options: ConsoleOptions): AsyncIterable<Buffer> {
    const reader = this.#readers.get(vm.instanceId) ?? new AbortController();
    this.#readers.set(vm.instanceId, reader);
    const { consoleLimitBytes: limitBytes } = vm.spec;
    return readConsole(folderOf(vm), { ...options, limitBytes, ended: reader.signal });
  }

  /** The VM's console will grow no more. */
  release(instanceId: string): void {
    this.#readers.get(instanceId)?.abort();
    this.#readers.delete(instanceId);
  }

  /** Ends all followers. */
  close(): void {
    for (const reader of this.#readers.values()) reader.abort();
    this.#readers.clear();
  }
}
