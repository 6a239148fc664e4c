import type { VmRuntime } from '@microvm/runtime';
import { arrangeScenario } from '../crashes/arrange-scenario.js';
import type { ChildProvider } from '../crashes/run-crash-child.js';
import { scenarioOf } from '../crashes/scenarios.js';
import { emptyRuntime } from '../emptying.js';
import { filesOfVms } from '../footprint.js';
import { StepGates } from '../step-gates.js';
import type { Prepared, PrepareTask } from './tasks.js';

export async function prepare(
  factory: ChildProvider,
  stateDir: string,
  { scenarios }: PrepareTask,
): Promise<Prepared> {
  const gates = new StepGates();
  const runtime = await factory.open({ stateDir, onStep: gates.onStep });
  const golden = runtime.capabilities.memorySnapshot ? await makeGolden(factory, runtime) : undefined;
  const steps: Record<string, readonly string[]> = {};
  for (const [index, title] of scenarios.entries()) {
    const scenario = scenarioOf(title);
    const place = { factory, runtime, vmId: `survey-${index}`, spec: factory.spec ?? {}, golden };
    const input = await arrangeScenario(scenario, place);
    const recorded = gates.record();
    await scenario.act(input);
    steps[title] = [...recorded];
    gates.reset();
    await emptyRuntime(runtime, { keptSnapshotUid: golden });
  }
  await runtime.close();
  return { golden, steps, files: await filesOfVms(stateDir) };
}

async function makeGolden({ spec = {} }: ChildProvider, runtime: VmRuntime): Promise<string> {
  await runtime.createVmWithSpec('golden', spec);
  await runtime.startVm('golden');
  const { snapshotUid } = await runtime.snapshotVm('golden', 'golden');
  await runtime.destroyVm('golden');
  await runtime.forgetVm('golden');
  return snapshotUid;
}
