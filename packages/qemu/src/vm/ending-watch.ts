import { Ending, reasonFromConsole } from '@microvm/driver-kit';
import type { ProcessExit } from '@microvm/native';
import type { QmpEvent } from '../qmp/wire.js';

/**
 * Learns how one life of a VM ends, from the first of: what QEMU says of its guest, the end of its process.
 * An exit code alone says nothing: QEMU exits with 0 after a signal and after most guest endings.
 */
export class EndingWatch extends Ending {
  readonly #directory: string;

  constructor(directory: string, exited: Promise<ProcessExit>) {
    super(directory);
    this.#directory = directory;
    void exited.then((exit) => this.settle('vmm-exit', exit));
  }

  observe({ name, data }: QmpEvent): void {
    if (name === 'GUEST_PANICKED') this.settle('panic');
    if (name !== 'SHUTDOWN' || data['guest'] !== true) return;
    switch (data['reason']) {
      case 'guest-panic':
        return this.settle('panic');
      case 'guest-reset':
        return this.#settleReset();
      default:
        return this.settle('power-off');
    }
  }

  // A kernel without the pvpanic module ends a panic by a reset, which only its console tells from a reboot.
  #settleReset(): void {
    this.settle(async () => ((await reasonFromConsole(this.#directory)) === 'panic' ? 'panic' : 'reboot'));
  }
}
