import type { VmRuntime, VmSpec } from '@microvm/runtime';
import { ARRANGE } from '../arrange.js';
import { SECRET, SNAPSHOT_ID } from '../calls.js';
import type { ProviderFactory } from '../factory.js';
import type { CrashScenario, ScenarioInput } from './scenarios.js';

/** Where a scenario is to take place. */
export interface ScenarioPlace {
  readonly factory: Pick<ProviderFactory, 'endGuest'>;
  readonly runtime: VmRuntime;
  readonly vmId: string;
  readonly spec: VmSpec;
  /** A memory snapshot; undefined where the provider can take none. */
  readonly golden: string | undefined;
}

/** What a scenario that was arranged works with, in this process or in the next one. */
export function inputFor({ factory, runtime, vmId, spec, golden }: ScenarioPlace): ScenarioInput {
  const idempotencyKey = `key-${vmId}`;
  return {
    ...{ runtime, vmId, golden, spec, idempotencyKey },
    endGuest: (how) => factory.endGuest(runtime, vmId, how),
  };
}

/** Brings the VM into the state that the scenario begins with. */
export async function arrangeScenario(scenario: CrashScenario, place: ScenarioPlace): Promise<ScenarioInput> {
  const { runtime, vmId, spec, golden } = place;
  const crash = (): Promise<never> => Promise.reject(new Error('no scenario begins with a crashed VM'));
  if (scenario.from !== undefined) {
    await ARRANGE[scenario.from]({ runtime, vmId, spec, source: golden, extra: {}, crash });
    if (scenario.hasSecret === true) await runtime.setSecret(vmId, SECRET.name, SECRET.value);
    if (scenario.hasSnapshot === true) await runtime.snapshotVm(vmId, SNAPSHOT_ID);
  }
  return inputFor(place);
}
