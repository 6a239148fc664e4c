import { VmRuntimeError, type DriverEvents, type DriverVm } from '@microvm/runtime';
import { OwnerDeathWatcher } from '../process/owner-death-watcher.js';
import type { VmmLife } from './vmm-life.js';

/**
 * The lives that this process holds, by instance: it reports their ends and has those watched that must not
 * outlive this process.
 */
export class VmTable<Live extends VmmLife> {
  readonly #live = new Map<string, Live>();
  readonly #starting = new Map<string, Promise<unknown>>();
  readonly #ownerDeath = new OwnerDeathWatcher();
  #events: DriverEvents = { ended: () => undefined };

  /** Says who is told of ends that nobody asked for. */
  open(events: DriverEvents): void {
    this.#events = events;
  }

  get(instanceId: string): Live | undefined {
    return this.#live.get(instanceId);
  }

  /** The life of a VM that the engine holds to be live. Throws `MICROVM_VMM_EXITED` when it is not there. */
  liveOf({ instanceId, vmId }: DriverVm): Live {
    const live = this.#live.get(instanceId);
    if (live !== undefined) return live;
    throw new VmRuntimeError('MICROVM_VMM_EXITED', `the VMM of "${vmId}" is not there`, {
      details: { exitCode: 'unknown', signal: null, lastLogLines: [] },
    });
  }

  /**
   * Takes in the life that `launch` starts, before anybody else can learn of its process. The process of a VM
   * that must not outlive this one is watched before this resolves. A failure leaves for `halt` what was
   * made.
   */
  async start(vm: DriverVm, launch: () => Promise<Live>): Promise<Live> {
    const flight = this.#start(vm, launch);
    this.#starting.set(vm.instanceId, flight);
    try {
      return await flight;
    } finally {
      this.#starting.delete(vm.instanceId);
    }
  }

  /** Resolves when no process of the VM is between being started and being in the table. */
  async settled(instanceId: string): Promise<void> {
    await this.#starting.get(instanceId)?.catch(() => undefined);
  }

  /** Reports the end of a life from now on, unless somebody asks for that end first. */
  reportEnd(live: Live): void {
    live.onUnaskedEnd((ending) => this.#events.ended(live.instanceId, ending));
  }

  /** Drops a life whose process is gone. */
  async forget(live: Live): Promise<void> {
    await this.#ownerDeath.remove(live.identity);
    live.close();
    if (this.#live.get(live.instanceId) === live) this.#live.delete(live.instanceId);
  }

  /** Lets go of all lives. Their VMs run on, except those that must not outlive this process. */
  async close(): Promise<void> {
    for (const live of this.#live.values()) live.close();
    this.#live.clear();
    await this.#ownerDeath.close();
  }

  async #start(vm: DriverVm, launch: () => Promise<Live>): Promise<Live> {
    const isOwned = vm.spec.onOwnerDeath === 'destroy';
    if (isOwned) await this.#ownerDeath.ready();
    const live = await launch();
    this.#live.set(vm.instanceId, live);
    if (isOwned) await this.#ownerDeath.add(live.identity, ...live.remains);
    return live;
  }
}
