import type { Sweep } from '../contract/runtime.js';

/** Something that nothing owns. */
export interface LeftOver {
  /** For people: a path below the state directory, or what else tells it. */
  readonly what: string;
  readonly remove: () => Promise<unknown>;
}

/** Removes left-overs one after the other, as far as they can be removed. Never rejects. */
export async function sweepAll(leftOvers: readonly LeftOver[]): Promise<Sweep> {
  const swept: string[] = [];
  const notSwept: Sweep['notSwept'][number][] = [];
  for (const { what, remove } of leftOvers) {
    try {
      await remove();
      swept.push(what);
    } catch (error) {
      notSwept.push({ what, problem: (error as Error).message });
    }
  }
  return { swept, notSwept };
}
