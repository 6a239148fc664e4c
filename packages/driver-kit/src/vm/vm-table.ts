import { VmRuntimeError, type DriverVm } from '@microvm/runtime';

/** The lives that this process holds, by instance. */
export class VmTable<Live extends { readonly instanceId: string }> {
  readonly #live = new Map<string, Live>();
  readonly #starting = new Map<string, Promise<unknown>>();

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

  all(): readonly Live[] {
    return [...this.#live.values()];
  }

  /** Takes in the life that `launch` starts, before anybody else can learn of its process. */
  async start(instanceId: string, launch: () => Promise<Live>): Promise<Live> {
    const flight = launch().then((live) => {
      this.#live.set(instanceId, live);
      return live;
    });
    this.#starting.set(instanceId, flight);
    try {
      return await flight;
    } finally {
      this.#starting.delete(instanceId);
    }
  }

  /** Resolves when no process is between being started and being in the table. */
  async settled(instanceId: string): Promise<void> {
    await this.#starting.get(instanceId)?.catch(() => undefined);
  }

  remove(live: Live): void {
    if (this.#live.get(live.instanceId) === live) this.#live.delete(live.instanceId);
  }
}
