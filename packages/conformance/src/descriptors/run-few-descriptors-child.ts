import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { isVmRuntimeError, type RecoveryReport, type VmRuntime } from '@microvm/runtime';

/** How the opens of a state directory ended while ever more descriptors were to spare. */
export interface FewDescriptorsReport {
  /** Of each open that failed: the error as JSON. */
  readonly failures: readonly Readonly<Record<string, unknown>>[];
  /** What the first open found that had enough descriptors. */
  readonly recovery: RecoveryReport;
}

// More than a process has open that has loaded its modules. Any number will do: all of them are taken.
const LIMIT = 256;

/**
 * The whole of a child module for `openWithFewDescriptors`: opens the state directory that its argument names with ever more descriptors
 * to spare, from none on, until an open succeeds; then says how each of them ended. Needs no vitest.
 */
export async function runFewDescriptorsChild(open: (stateDir: string) => Promise<VmRuntime>): Promise<void> {
  const [stateDir = ''] = process.argv.slice(2);
  // What is loaded late needs descriptors too, and is not what is tried here.
  await open(`${stateDir}-warm`).then((runtime) => runtime.close());
  // Set as late as this: Node opens all modules of a level at once, and a busy machine has hundreds of them open.
  execFileSync('prlimit', [`--pid=${process.pid}`, `--nofile=${LIMIT}:${LIMIT}`]);
  const failures: Record<string, unknown>[] = [];
  for (let spare = 0; ; spare += 1) {
    const taken = takeAllBut(spare);
    const outcome = await open(stateDir).catch((error: unknown) => error);
    for (const fd of taken) closeSync(fd);
    if (isVmRuntimeError(outcome)) failures.push(outcome.toJSON());
    else if (outcome instanceof Error) failures.push({ message: String(outcome) });
    else return report({ failures, recovery: await closed(outcome as VmRuntime) });
  }
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

async function closed(runtime: VmRuntime): Promise<RecoveryReport> {
  await runtime.close();
  return runtime.recovery;
}

function report(message: FewDescriptorsReport): void {
  process.send?.(message);
  process.disconnect();
}
