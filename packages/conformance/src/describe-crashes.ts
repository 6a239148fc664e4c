import { isLive, LIFECYCLE_STEPS, OWN_JOB_KINDS, type VmRuntime } from '@microvm/runtime';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ARRANGE } from './arrange.js';
import { SNAPSHOT_ID } from './calls.js';
import {
  afterDeath,
  hasSnapshotAfter,
  idAfter,
  phaseOf,
  scenariosFor,
  type CrashScenario,
  type Phase,
  type ScenarioInput,
} from './crashes/scenarios.js';
import { CrashChildren } from './crashes/crash-children.js';
import { inspectProvider, registerUnusable } from './describe-provider.js';
import { stateOf } from './expectations.js';
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
    const input = await arrange(fixture, scenario);
    const steps = fixture.gates.record();
    await scenario.act(input);
    surveyed.set(scenario, [...steps]);
    await fixture.cleanUp();
  }
  await fixture.dispose();
  return surveyed;
}

async function arrange(fixture: ProviderFixture, scenario: CrashScenario): Promise<ScenarioInput> {
  const source = await golden(fixture);
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  const crash = (): Promise<never> => Promise.reject(new Error('no scenario begins with a crashed VM'));
  if (scenario.from !== undefined) {
    await ARRANGE[scenario.from]({ runtime, vmId, spec: fixture.spec(), source, extra: {}, crash });
    if (scenario.hasSnapshot === true) await runtime.snapshotVm(vmId, SNAPSHOT_ID);
  }
  return inputFor(fixture, runtime, vmId, source);
}

function inputFor(
  fixture: ProviderFixture,
  runtime: VmRuntime,
  vmId: string,
  source: string | undefined,
): ScenarioInput {
  return {
    runtime,
    vmId,
    golden: source,
    spec: fixture.spec(),
    idempotencyKey: `key-${vmId}`,
    endGuest: (how) => fixture.factory.endGuest(runtime, vmId, how),
  };
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
  const seen = new Map<string, number>();
  for (const step of steps) {
    const nth = (seen.get(step) ?? 0) + 1;
    seen.set(step, nth);
    const place = nth === 1 ? step : `${step}, time ${nth}`;
    test(`${title}: kill -9 at ${place}`, () => survives(subject, step, nth));
  }
}

async function survives({ fixture, children, scenario }: Subject, step: string, nth: number): Promise<void> {
  const source = await golden(fixture);
  const stateDir = await fixture.close();
  const files = await filesOfVms(stateDir);
  const vmId = fixture.newId();
  const idempotencyKey = `key-${vmId}`;
  const task = { stateDir, scenario: scenario.title, vmId, golden: source, idempotencyKey, step, nth };
  await children.kill(task);
  const runtime = await fixture.open();
  const phase = phaseOf(scenario, step);
  const input = inputFor(fixture, runtime, vmId, source);
  await expectVm(fixture, scenario, phase, input);
  await expectReport(scenario, phase, input);
  await expectNoOrphan(runtime, stateDir);
  if (isReplayed(scenario, phase)) await scenario.act(input);
  await expectNothingLeft(fixture, files);
}

/**
 * Whether the same call under its key must answer with what was done. Nobody calls the runtime's own jobs.
 */
function isReplayed({ kind, during }: CrashScenario, phase: Phase): boolean {
  if (OWN_JOB_KINDS.some((own) => own === kind)) return false;
  return phase === 'after' || (phase === 'during' && during.outcome === 'carried-through');
}

async function expectVm(
  fixture: ProviderFixture,
  scenario: CrashScenario,
  phase: Phase,
  { runtime, vmId }: ScenarioInput,
): Promise<void> {
  const { from = 'unknown', before = [from], during, after } = scenario;
  const states = { before, during: during.states, after: [after] }[phase];
  const expected = states.map((state) => afterDeath(fixture.capabilities, state));
  const id = idAfter(scenario, phase, vmId);
  expect(expected).toContain(await stateOf(runtime, id));
  if (id !== vmId) expect(await stateOf(runtime, vmId)).toBe('unknown');
  const view = await runtime.getVm(id);
  expect(view?.operation).toBeUndefined();
  const names = (view?.snapshots ?? []).map(({ snapshotId }) => snapshotId);
  expect(names).toEqual(hasSnapshotAfter(scenario, phase) ? [SNAPSHOT_ID] : []);
  for (const { snapshotUid } of view?.snapshots ?? []) await runtime.verifySnapshot({ snapshotUid });
  expect(runtime.recovery.corruptSnapshots).toEqual([]);
}

async function expectReport(
  scenario: CrashScenario,
  phase: Phase,
  { runtime, vmId }: ScenarioInput,
): Promise<void> {
  const { interrupted } = runtime.recovery;
  if (phase !== 'during') {
    expect(interrupted).toEqual([]);
    return;
  }
  const { kind, during } = scenario;
  const view = await runtime.getVm(vmId);
  const isGone = view === undefined || view.state === 'destroyed';
  expect(interrupted).toMatchObject([{ kind, vmId, outcome: during.outcome }]);
  if (!isGone) expect(interrupted).toMatchObject([{ state: view.state }]);
  const job = await runtime.getJob(interrupted[0]?.jobId ?? '');
  expect(job).toMatchObject({ kind, vmId, status: 'interrupted', outcome: during.outcome });
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
