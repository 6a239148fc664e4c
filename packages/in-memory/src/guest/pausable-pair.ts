import { Duplex } from 'node:stream';
import { untilGoing } from './guest-handle.js';
import type { MemoryVm } from '../driver/memory-vm.js';

/**
 * One end of a channel into a guest. What is written to it stands still while the VM is paused, as the guest
 * does.
 */
class ChannelEnd extends Duplex {
  readonly #vm: MemoryVm;
  #peer: ChannelEnd | undefined;
  #onRead: (() => void) | undefined;

  constructor(vm: MemoryVm) {
    super();
    this.#vm = vm;
  }

  connect(peer: ChannelEnd): void {
    this.#peer = peer;
  }

  override _read(): void {
    const onRead = this.#onRead;
    this.#onRead = undefined;
    onRead?.();
  }

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void): void {
    if (this.#vm.condition !== 'paused') this.#deliver(chunk, callback);
    else void untilGoing(this.#vm).then(() => this.#deliver(chunk, callback));
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#peer?.push(null);
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    callback(error);
    const peer = this.#peer;
    process.nextTick(() => peer?.destroy());
  }

  #deliver(chunk: Buffer, callback: () => void): void {
    const peer = this.#peer;
    if (peer === undefined || peer.destroyed) callback();
    else if (peer.push(chunk)) callback();
    else peer.#onRead = callback; // it is full: the next chunk waits until it was read
  }
}

/** A channel between host and guest in this process. When one end is destroyed, so is the other. */
export function createPausablePair(vm: MemoryVm): readonly [host: Duplex, guest: Duplex] {
  const [host, guest] = [new ChannelEnd(vm), new ChannelEnd(vm)];
  host.connect(guest);
  guest.connect(host);
  return [host, guest];
}
