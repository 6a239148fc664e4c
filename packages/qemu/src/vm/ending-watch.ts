import type { ProcessExit } from '@microvm/native';
import type { VmEnding } from '@microvm/runtime';
import { consoleTail, lastLogLines } from '../host/log-tail.js';
import type { QmpEvent } from '../qmp/wire.js';

type Reason = VmEnding['reason'];

const CONSOLE_TAIL_BYTES = 8192;
const PANIC_LINE = /Kernel panic - not syncing/;
// Begins a boot: what is above it is of an earlier life.
const BOOT_LINE = /Linux version \d/;
const FAREWELL_LINE = /microvm-agent: farewell (shutdown|power-off|reboot)/;

/** How a guest that asked for a reset or power-off ended, by the last that it wrote to its console. */
export async function reasonFromConsole(directory: string): Promise<Reason | undefined> {
  const lines = (await consoleTail(directory, CONSOLE_TAIL_BYTES)).split(/\r?\n/).reverse();
  const telling = lines.find((line) =>
    [PANIC_LINE, FAREWELL_LINE, BOOT_LINE].some((pattern) => pattern.test(line)),
  );
  if (telling === undefined || BOOT_LINE.test(telling)) return undefined;
  return (FAREWELL_LINE.exec(telling)?.[1] as Reason | undefined) ?? 'panic';
}

/**
 * Learns how one life of a VM ends, from the first of: what QEMU says of its guest, the end of its process. An exit code alone says
 * nothing: QEMU exits with 0 after a signal and after most guest endings.
 */
export class EndingWatch {
  /** Resolves once, whoever asked for the end. Never rejects. */
  readonly ended: Promise<VmEnding>;
  readonly #directory: string;
  #resolve: (ending: Promise<VmEnding>) => void = () => {};
  #isSettled = false;

  constructor(directory: string, exited: Promise<ProcessExit>) {
    this.#directory = directory;
    this.ended = new Promise((resolve) => (this.#resolve = resolve));
    void exited.then((exit) => this.settle('vmm-exit', exit));
  }

  get hasEnded(): boolean {
    return this.#isSettled;
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

  settle(reason: Reason, exit: ProcessExit = { exitCode: null, signal: null }): void {
    this.#settleWith(() => Promise.resolve(reason), exit);
  }

  // A kernel without the pvpanic module ends a panic by a reset, which only its console tells from a reboot.
  #settleReset(): void {
    const find = async (): Promise<Reason> =>
      (await reasonFromConsole(this.#directory)) === 'panic' ? 'panic' : 'reboot';
    this.#settleWith(find, { exitCode: null, signal: null });
  }

  #settleWith(find: () => Promise<Reason>, { exitCode, signal }: ProcessExit): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    const describe = async (): Promise<VmEnding> => {
      const reason = await find();
      return { reason, exitCode, signal, lastLogLines: await lastLogLines(this.#directory) };
    };
    // The logs are an addition: an ending that cannot read them is still one.
    const bare: VmEnding = { reason: 'vmm-exit', exitCode, signal, lastLogLines: [] };
    this.#resolve(describe().catch(() => bare));
  }
}
