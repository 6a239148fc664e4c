import type { ProcessExit } from '@microvm/native';
import { VmRuntimeError, type DriverVm, type VmEnding } from '@microvm/runtime';
import { reasonFromConsole } from '../console/console-reason.js';
import { lastLogLines } from '../console/log-tail.js';

/** Why a life of a VM ended. */
export type EndingReason = VmEnding['reason'];

type Report = (ending: VmEnding) => void;

/** How one life of a VM ends. The first who learns of the end settles it, once. */
export class Ending {
  /** Resolves once, whoever asked for the end. Never rejects. */
  readonly ended: Promise<VmEnding>;
  readonly #directory: string;
  #resolve: (ending: Promise<VmEnding>) => void = () => {};
  #isSettled = false;
  #report: Report | undefined;

  constructor(directory: string) {
    this.#directory = directory;
    this.ended = new Promise((resolve) => (this.#resolve = resolve));
    void this.ended.then((ending) => this.#takeReport()?.(ending));
  }

  get hasEnded(): boolean {
    return this.#isSettled;
  }

  /** Reports an end that nobody asked for, once. Also when the end has come already. */
  onUnasked(report: Report): void {
    this.#report = report;
    if (this.hasEnded) void this.ended.then((ending) => this.#takeReport()?.(ending));
  }

  /** From now on the end is asked for. */
  expect(): void {
    this.#report = undefined;
  }

  /** Settles the end. `reason` may be a search for the reason. Without effect when the end is settled. */
  settle(
    reason: EndingReason | (() => Promise<EndingReason>),
    exit: ProcessExit = { exitCode: null, signal: null },
  ): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    const { exitCode, signal } = exit;
    const describe = async (): Promise<VmEnding> => {
      const found = typeof reason === 'function' ? await reason() : reason;
      const lines = await lastLogLines(this.#directory).catch(() => []);
      return { reason: found, exitCode, signal, lastLogLines: lines };
    };
    // Reason and logs are an addition: an ending that cannot read them is still one.
    const bare: VmEnding = { reason: 'vmm-exit', exitCode, signal, lastLogLines: [] };
    this.#resolve(describe().catch(() => bare));
  }

  #takeReport(): Report | undefined {
    const report = this.#report;
    this.#report = undefined;
    return report;
  }
}

/**
 * The end of a VMM that ended while nobody watched. From the byte `from` on, the console may say how the
 * guest ended before. Never rejects.
 */
export async function endingOfGone(directory: string, from = 0): Promise<VmEnding> {
  const ending: VmEnding = { reason: 'lost', exitCode: 'unknown', signal: null, lastLogLines: [] };
  try {
    const reason = (await reasonFromConsole(directory, from)) ?? ending.reason;
    return { ...ending, reason, lastLogLines: await lastLogLines(directory).catch(() => []) };
  } catch {
    // A console that cannot be read says nothing.
    return ending;
  }
}

/**
 * The end of a VMM that ran in an earlier boot of the host. Its console is not durable: what the power cut
 * has left may end with what the guest wrote in an earlier life, and so says nothing of this one. Never
 * rejects.
 */
export async function endingWithHost(directory: string): Promise<VmEnding> {
  const lines = await lastLogLines(directory).catch(() => []);
  return { reason: 'lost', exitCode: 'unknown', signal: null, lastLogLines: lines };
}

/**
 * The end of a guest whose VMM is still there, with the last lines of its logs where they can be read. Never
 * rejects.
 */
export async function endingWithoutExit(reason: EndingReason, directory: string): Promise<VmEnding> {
  const lines = await lastLogLines(directory).catch(() => []);
  return { reason, exitCode: null, signal: null, lastLogLines: lines };
}

/** By this line the agent says why a guest has no root file system. */
const CANNOT_BOOT = /^microvm-agent: cannot boot: (.+)$/;

/** The error for the caller of a boot whose guest ended before it was ready, although its VMM did not end. */
export function endedBeforeReady({ vmId }: DriverVm, { reason, lastLogLines }: VmEnding): VmRuntimeError {
  const told = lastLogLines
    .map((line) => CANNOT_BOOT.exec(line)?.[1])
    .findLast((found) => found !== undefined);
  const cause = told ?? reason;
  const message = `boot "${vmId}": the guest ended before it was ready: ${cause}\n${lastLogLines.join('\n')}`;
  return new VmRuntimeError('MICROVM_GUEST_UNREACHABLE', message, {
    details: { vmId, reason: `it ended by itself: ${cause}` },
  });
}
