import type { CrashScenario } from '../crashes/scenarios.js';
import { placesIn } from '../crashes/step-places.js';
import { AT_ONCE, CUT_KINDS, type CutKind } from './cut-kinds.js';
import { CUT_FILE_SYSTEMS, type CutFileSystem } from './power-lab.js';
import { ANSWERED } from './tasks.js';
import type { Turn } from './turns.js';

/** One cut of the power. */
export interface CutCase {
  readonly title: string;
  readonly fileSystem: CutFileSystem;
  readonly scenario: CrashScenario;
  readonly step: string;
  readonly nth: number;
  /** How long after the answer, in milliseconds. */
  readonly pauseMs: number;
}

/** So long after the answer the kernel may have begun to write back what nobody has flushed. */
const LATER_MS = 1000;

/**
 * Every cut of a scenario: in each step, when it has been answered, and a second later; each on every file
 * system.
 */
export function cutCases(scenario: CrashScenario, steps: readonly string[]): readonly CutCase[] {
  const places = [
    ...placesIn(steps).map((place) => ({ ...place, pauseMs: 0 })),
    { step: ANSWERED, nth: 1, pauseMs: 0, title: 'its answer' },
    { step: ANSWERED, nth: 1, pauseMs: LATER_MS, title: `${LATER_MS / 1000} s after its answer` },
  ];
  return places.flatMap(({ title, step, nth, pauseMs }) =>
    CUT_FILE_SYSTEMS.map((fileSystem) => ({
      title: `${scenario.title}: power cut at ${title}, on ${fileSystem}`,
      ...{ fileSystem, scenario, step, nth, pauseMs },
    })),
  );
}

/** How the power goes in the case with this number: each case of a turn differs from the one before. */
export function kindOf({ seed, turns }: Turn, index: number): CutKind {
  const place = Math.floor(seed / turns) + Math.floor(index / turns);
  return CUT_KINDS[place % CUT_KINDS.length] ?? AT_ONCE;
}
