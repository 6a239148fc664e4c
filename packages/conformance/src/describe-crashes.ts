import { isLive, LIFECYCLE_STEPS, type VmRuntime } from '@microvm/runtime';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { arrangeScenario, inputFor, type ScenarioPlace } from './crashes/arrange-scenario.js';
import { CrashChildren } from './crashes/crash-children.js';
import { checkOutcome, isReplayed } from './crashes/outcome.js';
import { afterDeath, phaseOf, scenariosFor, type CrashScenario } from './crashes/scenarios.js';
import { placesIn, type StepPlace } from './crashes/step-places.js';
import { inspectProvider, registerUnusable } from './describe-provider.js';
import type { ProviderFactory } from './factory.js';
import { ProviderFixture } from './fixture.js';
import { filesOfVms, processesUsing } from './footprint.js';

/**
 * Registers one test for each step of each operation: a child process is killed in that step, then the state
 * directory is opened and compared with the table of outcomes. The steps are found by one undisturbed run of
 * everything, while tests are collected.
 */
export function describeCrashes(name: string, factory: ProviderFactory): void {
  const { childModule, durable = true } = factory;
  if (childModule === undefined || !durable)
    throw new Error('describeCrashes needs a durable provider and a childModule');
  const timeout = 20_000 * (factory.deadlineFactor ?? 1);
  describe(`${name}, killed at every step`, { timeout }, async () => {
    const facts = await inspectProvider(factory);
    if (!facts.isUsable) {
      registerUnusable(name, facts.reasons);
      return;
    }
    const fixture = new ProviderFixture(factory, facts.capabilities);
    const scenarios = scenariosFor(facts.capabilities, factory.hasLiveGuests ?? true);
    const surveyed = await survey(fixture, scenarios);
    beforeAll(async () => void (await golden(fixture)), timeout);
    afterEach(() => fixture.cleanUp(), timeout);
    const children = new CrashChildren(childModule);
    afterAll(async () => {
      await children.dispose();
      await fixture.dispose();
    }, timeout);
    for (const [scenario, steps] of surveyed) registerScenario({ fixture, children, scenario }, steps);
  });
}

async function golden(fixture: ProviderFixture): Promise<string | undefined> {
  return fixture.capabilities.memorySnapshot ? (await fixture.golden()).snapshot.snapshotUid : undefined;
}

/** Runs each scenario once, undisturbed, and writes its steps down. */
async function survey(
  fixture: ProviderFixture,
  scenarios: readonly CrashScenario[],
): Promise<Map<CrashScenario, readonly string[]>> {
  const surveyed = new Map<CrashScenario, readonly string[]>();
  for (const scenario of scenarios) {
    const input = await arrangeScenario(scenario, await placeOf(fixture, fixture.newId()));
    const steps = fixture.gates.record();
    await scenario.act(input);
    surveyed.set(scenario, [...steps]);
    await fixture.cleanUp();
  }
  await fixture.dispose();
  return surveyed;
}

async function placeOf(fixture: ProviderFixture, vmId: string): Promise<ScenarioPlace> {
  const source = await golden(fixture);
  const runtime = await fixture.open();
  return { factory: fixture.factory, runtime, vmId, spec: fixture.spec(), golden: source };
}

interface Subject {
  readonly fixture: ProviderFixture;
  readonly children: CrashChildren;
  readonly scenario: CrashScenario;
}

function registerScenario(subject: Subject, steps: readonly string[]): void {
  const { title, kind } = subject.scenario;
  test(`${title} goes through the steps that the engine lists, in their order`, () => {
    expect(steps.filter((step) => step.startsWith(`${kind}:`))).toEqual(LIFECYCLE_STEPS[kind]);
  });
  for (const place of placesIn(steps))
    test(`${title}: kill -9 at ${place.title}`, () => survives(subject, place));
}

async function survives({ fixture, children, scenario }: Subject, { step, nth }: StepPlace): Promise<void> {
  const source = await golden(fixture);
  const stateDir = await fixture.close();
  const files = await filesOfVms(stateDir);
  const vmId = fixture.newId();
  await children.kill({ stateDir, scenario: scenario.title, vmId, golden: source, step, nth });
  const phase = phaseOf(scenario, step);
  const input = inputFor(await placeOf(fixture, vmId));
  const { capabilities } = fixture;
  await checkOutcome({
    ...{ scenario, phase, input },
    afterDeath: (state) => afterDeath(capabilities, state),
  });
  await expectNoOrphan(input.runtime, stateDir);
  if (isReplayed(scenario, phase)) await scenario.act(input);
  await expectNothingLeft(fixture, files);
}

/** Every process on the directory is the VMM of a VM that may have one. */
async function expectNoOrphan(runtime: VmRuntime, stateDir: string): Promise<void> {
  const views = await runtime.listVms();
  const known = views
    .filter(({ state }) => isLive(state) || state === 'created')
    .flatMap(({ vmm }) => (vmm === undefined ? [] : [vmm.pid]));
  const orphans = (await processesUsing(stateDir)).filter((pid) => !known.includes(pid));
  expect(orphans).toEqual([]);
}

/** Once everything is destroyed and forgotten, the directory is what it was. */
async function expectNothingLeft(fixture: ProviderFixture, files: readonly string[]): Promise<void> {
  await fixture.cleanUp();
  expect(await processesUsing(fixture.stateDir)).toEqual([]);
  expect(await filesOfVms(fixture.stateDir)).toEqual(files);
}
