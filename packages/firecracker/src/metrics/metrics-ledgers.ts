import { folderOf } from '@microvm/driver-kit';
import type { DriverVm } from '@microvm/runtime';
import { MetricsLedger } from './metrics-ledger.js';

/** The ledgers of the VMs, one for each VM, so that all who read and save a ledger wait for each other. */
export class MetricsLedgers {
  readonly #ledgers = new Map<string, MetricsLedger>();

  of(vm: DriverVm): MetricsLedger {
    const known = this.#ledgers.get(vm.instanceId);
    if (known !== undefined) return known;
    const ledger = new MetricsLedger(folderOf(vm));
    this.#ledgers.set(vm.instanceId, ledger);
    return ledger;
  }

  /** Lets go of a VM's files before they are removed. */
  async release(instanceId: string): Promise<void> {
    await this.#ledgers.get(instanceId)?.close();
    this.#ledgers.delete(instanceId);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#ledgers.values()].map((ledger) => ledger.close()));
  }
}
