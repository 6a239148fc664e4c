/** A run takes one part of so many, unless the suite is told otherwise. */
export const TURNS = 4;

/** Which cuts are run, and with which seed. */
export interface Turn {
  /** From 0; undefined for all of them. */
  readonly turn: number | undefined;
  /** How many turns take all of them. */
  readonly turns: number;
  /** Chooses what survives each cut. */
  readonly seed: number;
}

/** The variable by which a turn is chosen: `all`, `SEED`, or `all:SEED`. */
export const TURN_VARIABLE = 'MICROVM_POWER_CUTS';

const SEEDS = 2 ** 31;

/**
 * The turn that the variable names; without it each run takes what its clock says. Throws an `Error` for any
 * other text.
 */
export function turnOf(text: string | undefined, { turns = TURNS, now = Date.now() } = {}): Turn {
  const [, all, digits] = /^(?:(all)(?::|$))?([0-9]{0,10})$/.exec(text ?? '') ?? [];
  if (digits === undefined) throw new Error(`${TURN_VARIABLE} is "${text}", expected all, SEED or all:SEED`);
  const seed = digits === '' ? Math.floor(now / 1000) % SEEDS : Number(digits);
  return { turn: all === undefined ? seed % turns : undefined, turns, seed };
}

/** Those of a list whose turn it is. */
export function inTurn<T>(items: readonly T[], { turn, turns }: Turn): readonly T[] {
  return turn === undefined ? items : items.filter((_, index) => index % turns === turn);
}
