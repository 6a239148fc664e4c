import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scenarioOf, scenariosFor, type CrashScenario } from './crashes/scenarios.js';
import { inspectProvider, registerUnusable } from './describe-provider.js';
import type { ChildModule, ProviderFactory } from './factory.js';
import { cutCases, kindOf, type CutCase } from './power-cuts/cut-cases.js';
import { AT_ONCE } from './power-cuts/cut-kinds.js';
import { CutBench } from './power-cuts/cut-bench.js';
import { CUT_FILE_SYSTEMS, type PowerLab } from './power-cuts/power-lab.js';
import { inTurn, TURN_VARIABLE, turnOf, TURNS, type Turn } from './power-cuts/turns.js';

/** A fault of a runtime that a power cut right after an answer brings to light. */
export interface PlantedFault {
  readonly title: string;
  readonly scenario: string;
  /** Of the host whose power is cut: it makes the fault. */
  readonly env: NodeJS.ProcessEnv;
}

export interface PowerCutOptions {
  readonly lab: PowerLab;
  /** A script that calls `runPowerCutChild`. */
  readonly childModule: ChildModule;
  /** A run takes one part of so many; default 4. For VMs that boot slowly. */
  readonly turns?: number;
  /** Faults that the suite must find. */
  readonly faults?: readonly PlantedFault[];
  /** Which scenarios; all of what the provider can do by default. */
  readonly isWanted?: (scenario: CrashScenario) => boolean;
}

/**
 * Registers one test for each step of each operation, and for its answer, on ext4 and on XFS: the power of a
 * host is cut there, with all that its disk had not flushed; then the host boots again and opens the state
 * directory. What was acknowledged must be there, whole, and work; all else is settled by the table of
 * outcomes. Each run takes a part of them, by turns.
 */
export function describePowerCuts(name: string, factory: ProviderFactory, options: PowerCutOptions): void {
  const timeout = 60_000 * (factory.deadlineFactor ?? 1);
  describe(`${name}, when the power is cut`, { timeout }, async () => {
    const reason = await options.lab.reason();
    const facts = await inspectProvider(factory);
    if (!facts.isUsable) {
      registerUnusable(`${name}, when the power is cut`, facts.reasons);
      return;
    }
    if (reason !== undefined) {
      console.warn(`${name}: no power is cut: ${reason}`);
      test.skip(`the power can be cut here: ${reason}`, () => undefined);
      return;
    }
    const { isWanted = () => true, turns = TURNS } = options;
    const scenarios = scenariosFor(facts.capabilities, factory.hasLiveGuests ?? true).filter(isWanted);
    const turn = turnOf(process.env[TURN_VARIABLE], { turns });
    const steps = await survey(options, scenarios);
    const cases = scenarios.flatMap((scenario) => cutCases(scenario, steps[scenario.title] ?? []));
    // By file systems, so that no turn is one of them.
    const chosen = inTurn(
      cases.sort((a, b) => a.fileSystem.localeCompare(b.fileSystem)).map((one, index) => ({ one, index })),
      turn,
    );
    const which = turn.turn === undefined ? 'all' : `turn ${turn.turn + 1} of ${turns}`;
    const again = `${TURN_VARIABLE}=${turn.turn === undefined ? 'all:' : ''}${turn.seed}`;
    console.log(`${name}: ${chosen.length} of ${cases.length} power cuts, ${which}; again: ${again}`);
    register({ options, chosen, turn, timeout });
  });
}

async function survey(
  options: PowerCutOptions,
  scenarios: readonly CrashScenario[],
): Promise<Readonly<Record<string, readonly string[]>>> {
  await using bench = await CutBench.make(options);
  return (
    await bench.prepare(
      'ext4',
      scenarios.map(({ title }) => title),
    )
  ).steps;
}

interface Registration {
  readonly options: PowerCutOptions;
  readonly chosen: readonly { readonly one: CutCase; readonly index: number }[];
  readonly turn: Turn;
  readonly timeout: number;
}

function register({ options, chosen, turn, timeout }: Registration): void {
  let bench: CutBench | undefined;
  beforeAll(async () => {
    bench = await CutBench.make(options);
    for (const fileSystem of CUT_FILE_SYSTEMS) await bench.prepare(fileSystem);
  }, timeout);
  afterAll(async () => {
    if (bench !== undefined) console.log(`power cuts: ${bench.losses}`);
    await bench?.[Symbol.asyncDispose]();
  }, timeout);
  for (const { one, index } of chosen) {
    const kind = kindOf(turn, index);
    test(`${one.title}: ${kind.title}`, () => bench?.survives(one, { kind, seed: turn.seed + index }));
  }
  for (const fault of options.faults ?? []) {
    test.each(CUT_FILE_SYSTEMS)(
      `${fault.scenario}: a fault is found, on %s: ${fault.title}`,
      async (fileSystem) => {
        const [one] = cutCases(scenarioOf(fault.scenario), []).filter(
          (each) => each.fileSystem === fileSystem,
        );
        if (bench === undefined || one === undefined) throw new Error('nothing to cut');
        const cut = bench.survives(one, { kind: AT_ONCE, seed: turn.seed, env: fault.env });
        await expect(cut).rejects.toThrow(/AssertionError|VmRuntimeError/);
      },
    );
  }
}
