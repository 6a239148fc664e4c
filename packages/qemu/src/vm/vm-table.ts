import type { LiveVm } from './live-vm.js';

/** The lives that this process holds, by instance. */
export class VmTable {
  readonly #live = new Map<string, LiveVm>();
  readonly #starting = new Map<string, Promise<unknown>>();

  get(instanceId: string): LiveVm | undefined {
    return this.#live.get(instanceId);
  }

  all(): readonly LiveVm[] {
    return [...this.#live.values()];
  }

  /** Takes in the life that `launch` starts, before anybody else can learn of its process. */
  async start(instanceId: string, launch: () => Promise<LiveVm>): Promise<LiveVm> {
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

  remove(live: LiveVm): void {
    if (this.#live.get(live.instanceId) === live) this.#live.delete(live.instanceId);
  }
}
