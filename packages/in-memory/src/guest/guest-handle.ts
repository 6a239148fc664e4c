import { type Clock, type ConnectTarget, delay, onAbort } from '@microvm/runtime';
import { ScriptedErrno } from '@microvm/guest';
import { ROOT_DRIVE, type GuestDisk } from '../driver/disks.js';
import type { GuestEnd } from './guest-end.js';
import type { GuestMemory, ScriptedConnection, ScriptedGuest } from './guest-script.js';
import type { GuestNetwork } from './guest-network.js';
import type { MemoryVm } from '../driver/memory-vm.js';

export const KERNEL_RELEASE = '6.1.0-in-memory';

export interface GuestSurroundings {
  readonly clock: Clock;
  /** The guest ends by its own doing. */
  end(vm: MemoryVm, end: GuestEnd): void;
}

/** A script's hold on one guest. Made when a script runs; the guest itself is all in its `MemoryVm`. */
export class GuestHandle implements ScriptedGuest {
  readonly kernelRelease = KERNEL_RELEASE;
  readonly hostname = 'microvm';
  /** This life of the guest: the next one has a memory of its own. */
  readonly memory: GuestMemory;
  readonly #network: GuestNetwork | undefined;
  readonly #vm: MemoryVm;
  readonly #surroundings: GuestSurroundings;

  constructor(vm: MemoryVm, surroundings: GuestSurroundings, network?: GuestNetwork) {
    this.#network = network;
    this.memory = vm.memory;
    this.#vm = vm;
    this.#surroundings = surroundings;
  }

  get epoch(): number {
    return this.#vm.epoch;
  }

  async listen(port: number, signal: AbortSignal): Promise<ScriptedConnection> {
    if (this.#network === undefined) throw new ScriptedErrno('ENETDOWN', 'listen');
    return this.#network.listeners.listen(port, signal);
  }

  get secrets(): ScriptedGuest['secrets'] {
    return this.#vm.settings.secrets;
  }

  async dial(target: ConnectTarget, signal?: AbortSignal): Promise<ScriptedConnection> {
    if (this.#network === undefined) throw new ScriptedErrno('ENETUNREACH', 'connect');
    return this.#network.dial(target, signal);
  }

  listeningPorts(): readonly number[] {
    return this.#network?.listeners.ports ?? [];
  }

  now(): number {
    return this.#surroundings.clock.now();
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await delay(this.#surroundings.clock, ms, signal);
    await untilGoing(this.#vm, signal);
  }

  disk(driveId: string = ROOT_DRIVE): GuestDisk | undefined {
    return this.#vm.disks.disk(driveId, this.#vm.spec);
  }

  console(text: string): void {
    if (this.#isAlive()) this.#vm.console.append(text);
  }

  powerOff(): void {
    this.#end({ reason: 'power-off' });
  }

  reboot(): void {
    this.#end({ reason: 'reboot' });
  }

  panic(message?: string): void {
    this.#end({ reason: 'panic', ...(message === undefined ? {} : { message }) });
  }

  #end(end: GuestEnd): void {
    if (this.#isAlive()) this.#surroundings.end(this.#vm, end);
  }

  // A script that runs on after its guest is gone must not act on the guest's next life.
  #isAlive(): boolean {
    const { condition, memory } = this.#vm;
    return memory === this.memory && (condition === 'running' || condition === 'booting');
  }
}

/** Waits while the VM is paused. An abort rejects with the signal's reason. */
export async function untilGoing(vm: MemoryVm, signal?: AbortSignal): Promise<void> {
  while (vm.condition === 'paused') {
    await new Promise<void>((resolve) => {
      const watchers = (vm.watchers ??= new Set());
      let stopWatching = (): void => undefined;
      const wake = (): void => {
        watchers.delete(wake);
        stopWatching();
        resolve();
      };
      watchers.add(wake);
      stopWatching = onAbort(signal, wake);
    });
    signal?.throwIfAborted();
  }
}
