import type { VmSpec } from '@microvm/runtime';
import { ARRANGE } from '../arrange.js';
import { SNAPSHOT_ID } from '../calls.js';
import type { GuestEnding, ProviderFactory } from '../factory.js';
import { scenarioOf } from './scenarios.js';

/** What the suite asks of its child process: to do this until it dies of it. */
export interface CrashTask {
  readonly stateDir: string;
  readonly scenario: string;
  readonly vmId: string;
  readonly golden: string | undefined;
  readonly idempotencyKey: string;
  /** The step to be killed in, at the n-th time that it is reached. */
  readonly step: string;
  readonly nth: number;
}

/** What the child says when it did not die as it should have. */
export interface CrashFailure {
  readonly problem: string;
}

type ChildProvider = Pick<ProviderFactory, 'open' | 'spec' | 'endGuest'>;

/**
 * The whole of a child module: takes one task from the suite, opens the provider, and kills this process by
 * SIGKILL in the step that the task names. Needs no vitest.
 */
export function runCrashChild(factory: ChildProvider): void {
  process.once('message', (task: CrashTask) => {
    void run(factory, task).catch((error: unknown) => {
      const problem = error instanceof Error ? (error.stack ?? error.message) : String(error);
      process.send?.({ problem } satisfies CrashFailure, () => process.exit(1));
    });
  });
}

async function run(factory: ChildProvider, task: CrashTask): Promise<never> {
  const { stateDir, vmId, golden, idempotencyKey } = task;
  let missing = Number.POSITIVE_INFINITY;
  const onStep = (step: string): void => {
    if (step !== task.step) return;
    missing -= 1;
    if (missing === 0) process.kill(process.pid, 'SIGKILL');
  };
  const spec: VmSpec = factory.spec ?? {};
  const runtime = await factory.open({ stateDir, onStep });
  const scenario = scenarioOf(task.scenario);
  if (scenario.from !== undefined) {
    const crash = (): Promise<never> => Promise.reject(new Error('no scenario begins with a crashed VM'));
    await ARRANGE[scenario.from]({ runtime, vmId, spec, source: golden, extra: {}, crash });
    if (scenario.hasSnapshot === true) await runtime.snapshotVm(vmId, SNAPSHOT_ID);
  }
  missing = task.nth;
  const endGuest = (how: GuestEnding): Promise<void> => factory.endGuest(runtime, vmId, how);
  await scenario.act({ runtime, vmId, golden, spec, idempotencyKey, endGuest });
  throw new Error(`${task.scenario}: ended without having reached "${task.step}" ${task.nth} times`);
}
