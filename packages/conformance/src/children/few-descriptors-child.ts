import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { isVmRuntimeError, type RecoveryReport, type VmRuntime } from '@microvm/runtime';

/** How calls ended while ever more descriptors were to spare. */
export interface FewDescriptorsReport<R, F = undefined> {
  /** The errors of the calls that failed, as JSON, and what `look` found after each of them. */
  readonly failures: readonly {
    readonly error: Readonly<Record<string, unknown>>;
    readonly found: F;
  }[];
  /** The result of the first call that had enough descriptors. */
  readonly result: R;
}

/** Every method but `act` has as many descriptors as it needs. */
export interface FewDescriptorsTask<T, R, F = undefined> {
  /**
   * Called first: what is loaded late needs descriptors too, and is not what is tried here.
   */
  prepare(): Promise<unknown>;
  /** Called before each `act`. */
  arrange?(): Promise<unknown>;
  act(): Promise<T>;
  /** Called after each `act` that failed. */
  look?(): Promise<F>;
  /** Makes of the result what can be sent. */
  finish(result: T): Promise<R>;
}

// More than a process has open that has loaded its modules. Any number will do: all of them are taken.
const LIMIT = 256;
const MOST_SPARE = 128;

/**
 * The whole of a child module for `withFewDescriptors`: calls `act` with ever more descriptors to spare, from
 * none on, until a call succeeds; then says how each of them ended. Needs no vitest.
 */
export async function runFewDescriptorsChild<T, R, F>(task: FewDescriptorsTask<T, R, F>): Promise<void> {
  await task.prepare();
  // Set as late as this: Node opens all modules of a level at once, and a busy machine has hundreds of them
  // open.
  execFileSync('prlimit', [`--pid=${process.pid}`, `--nofile=${LIMIT}:`]);
  const failures: { readonly error: unknown; readonly found: unknown }[] = [];
  for (let spare = 0; spare <= MOST_SPARE; spare += 1) {
    await task.arrange?.();
    const taken = takeAllBut(spare);
    const outcome = await task.act().then(
      (result) => ({ result }),
      (error: unknown) => ({ error }),
    );
    for (const fd of taken) closeSync(fd);
    if ('result' in outcome) {
      process.send?.({ failures, result: await task.finish(outcome.result) });
      process.disconnect();
      return;
    }
    const { error } = outcome;
    const told = isVmRuntimeError(error) ? error.toJSON() : { message: String(error) };
    failures.push({ error: told, found: await task.look?.() });
  }
  throw new Error(
    `no call succeeded, the last one with ${MOST_SPARE} descriptors: ${JSON.stringify(failures.at(-1))}`,
  );
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
