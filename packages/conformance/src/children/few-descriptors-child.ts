import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { isVmRuntimeError, type RecoveryReport, type VmRuntime } from '@microvm/runtime';

/** How calls ended while ever more descriptors were to spare. */
export interface FewDescriptorsReport<T> {
  /** The errors of the calls that failed, as JSON. */
  readonly failures: readonly Readonly<Record<string, unknown>>[];
  /** The result of the first call that had enough descriptors. */
  readonly result: T;
}

export interface FewDescriptorsTask<T, R> {
  /** Called first: what is loaded late needs descriptors too, and is not what is tried here. */
  prepare(): Promise<unknown>;
  act(): Promise<T>;
  /** With enough descriptors again: makes of the result what can be sent. */
  finish(result: T): Promise<R>;
}

// More than a process has open that has loaded its modules. Any number will do: all of them are taken.
const LIMIT = 256;

/**
 * The whole of a child module for `withFewDescriptors`: calls `act` with ever more descriptors to spare, from
 * none on, until a call succeeds; then says how each of them ended. Needs no vitest.
 */
export async function runFewDescriptorsChild<T, R>(task: FewDescriptorsTask<T, R>): Promise<void> {
  await task.prepare();
  // Set as late as this: Node opens all modules of a level at once, and a busy machine has hundreds of them
  // open.
  execFileSync('prlimit', [`--pid=${process.pid}`, `--nofile=${LIMIT}:${LIMIT}`]);
  const failures: Record<string, unknown>[] = [];
  for (let spare = 0; ; spare += 1) {
    const taken = takeAllBut(spare);
    const free = (): void => taken.splice(0).forEach((fd) => closeSync(fd));
    try {
      const result = await task.act();
      free();
      return report({ failures, result: await task.finish(result) });
    } catch (error) {
      free();
      failures.push(isVmRuntimeError(error) ? error.toJSON() : { message: String(error) });
    }
  }
}

/** The task whose `act` opens a state directory. */
export function openTask(
  stateDir: string,
  open: (stateDir: string) => Promise<VmRuntime>,
): FewDescriptorsTask<VmRuntime, RecoveryReport> {
  return {
    prepare: () => open(`${stateDir}-warm`).then((runtime) => runtime.close()),
    act: () => open(stateDir),
    async finish(runtime) {
      await runtime.close();
      return runtime.recovery;
    },
  };
}

function takeAllBut(spare: number): number[] {
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch {
    // None is left.
  }
  for (const fd of taken.splice(0, spare)) closeSync(fd);
  return taken;
}

function report(message: FewDescriptorsReport<unknown>): void {
  process.send?.(message);
  process.disconnect();
}
