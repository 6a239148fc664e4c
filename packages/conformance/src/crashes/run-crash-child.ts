import type { ProviderFactory } from '../factory.js';
import { arrangeScenario } from './arrange-scenario.js';
import { scenarioOf } from './scenarios.js';

/** The suite's task for its child process, which ends by this task. */
export interface CrashTask {
  readonly stateDir: string;
  readonly scenario: string;
  readonly vmId: string;
  readonly golden: string | undefined;
  /** The step to be killed in, at the n-th time that it is reached. */
  readonly step: string;
  readonly nth: number;
}

/** The report of a child that did not die as it should have. */
export interface CrashFailure {
  readonly problem: string;
}

/** What a child process needs of the factory. */
export type ChildProvider = Pick<ProviderFactory, 'open' | 'spec' | 'endGuest'>;

/**
 * The whole of a child module: takes one task from the suite, opens the provider, and kills this process by
 * SIGKILL in the step that the task names. Needs no vitest.
 */
export function runCrashChild(factory: ChildProvider): void {
  process.once('message', (task: CrashTask) => {
    const die = (): void => void process.kill(process.pid, 'SIGKILL');
    void runUntilStep(factory, task, die).catch((error: unknown) => {
      process.send?.({ problem: problemOf(error) } satisfies CrashFailure, () => process.exit(1));
    });
  });
}

export function problemOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/**
 * Arranges and acts until the step, in which `die` is called; it must not return. With `afterAnswer` that is
 * a step too: the last one, after the answer. Rejects when the step was not reached.
 */
export async function runUntilStep(
  factory: ChildProvider,
  task: CrashTask,
  die: () => void,
  afterAnswer?: () => Promise<void>,
): Promise<never> {
  const { stateDir, vmId, golden, step, nth } = task;
  let missing = Number.POSITIVE_INFINITY;
  const onStep = (reached: string): void => {
    if (reached !== step) return;
    missing -= 1;
    if (missing === 0) die();
  };
  const runtime = await factory.open({ stateDir, onStep });
  const scenario = scenarioOf(task.scenario);
  const place = { factory, runtime, vmId, spec: factory.spec ?? {}, golden };
  const input = await arrangeScenario(scenario, place);
  missing = nth;
  await scenario.act(input);
  if (afterAnswer !== undefined) {
    await afterAnswer();
    die();
  }
  throw new Error(`${task.scenario}: ended without having reached "${step}" ${nth} times`);
}
