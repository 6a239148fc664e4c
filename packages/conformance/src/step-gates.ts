/** Says whether a step is the wanted one. A string is the step's whole name. */
export type StepMatcher = string | ((step: string) => boolean);

interface Gate {
  readonly matches: (step: string) => boolean;
  readonly act: (step: string) => void | Promise<void>;
}

/** An operation that stands still in one of its steps. */
export interface Hold {
  /** Resolves once the step was reached. */
  readonly reached: Promise<void>;
  /** Lets the operation go on; without effect when it did already. */
  release(): void;
}

/**
 * Stops operations in their steps, so that the suite can be certain that an operation is in the middle. The
 * runtime gets `onStep`. Each gate works once, for the first step that it matches.
 */
export class StepGates {
  #gates: Gate[] = [];
  #holds: Hold[] = [];
  #record: string[] | undefined;

  readonly onStep = async (step: string): Promise<void> => {
    this.#record?.push(step);
    const gate = this.#gates.find(({ matches }) => matches(step));
    if (gate === undefined) return;
    this.#gates = this.#gates.filter((other) => other !== gate);
    await gate.act(step);
  };

  /** Acts when the step is reached next; the operation waits for it. */
  once(step: StepMatcher, act: Gate['act']): void {
    const matches = typeof step === 'string' ? (name: string): boolean => name === step : step;
    this.#gates.push({ matches, act });
  }

  /** Stops the next operation that reaches the step there, until it is released. */
  hold(step: StepMatcher): Hold {
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    const reached = new Promise<void>((resolve) => {
      this.once(step, () => {
        resolve();
        return released;
      });
    });
    const hold = { reached, release };
    this.#holds.push(hold);
    return hold;
  }

  /** Lets `count` operations meet in a step: each waits there until all have come. */
  meet(step: string, count: number): void {
    let missing = count;
    let open!: () => void;
    const opened = new Promise<void>((resolve) => (open = resolve));
    this.#holds.push({ reached: opened, release: open });
    for (let place = 0; place < count; place += 1) {
      this.once(step, () => {
        missing -= 1;
        if (missing === 0) open();
        return opened;
      });
    }
  }

  /** Names of the steps from now on, in order. */
  record(): readonly string[] {
    this.#record = [];
    return this.#record;
  }

  /** Opens every gate and forgets it. */
  reset(): void {
    this.#gates = [];
    this.#record = undefined;
    for (const hold of this.#holds.splice(0)) hold.release();
  }
}
