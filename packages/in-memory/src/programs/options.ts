import type { Process } from '../process/process.js';

/** What a program was asked for: flags, options with a value, and what they are about. */
export interface Options {
  readonly flags: ReadonlySet<string>;
  readonly values: ReadonlyMap<string, string>;
  readonly operands: readonly string[];
}

/** Arguments that a program does not take: it ends with a message and this status. */
export class UsageError extends Error {}

/**
 * Reads options as getopt(3) does: `letters` has each letter that may be given, with a colon behind one that
 * takes a value. Long options stand for a letter. Throws a `UsageError`.
 */
export function optionsOf(
  process: Pick<Process, 'args'>,
  letters: string,
  long: Readonly<Record<string, string>> = {},
): Options {
  const flags = new Set<string>();
  const values = new Map<string, string>();
  const operands: string[] = [];
  const rest = [...process.args];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') {
      operands.push(...rest);
      break;
    }
    if (!word.startsWith('-') || word === '-') {
      operands.push(word);
      continue;
    }
    takeOption(word, rest, { letters, long, flags, values });
  }
  return { flags, values, operands };
}

function takeOption(
  word: string,
  rest: string[],
  into: {
    readonly letters: string;
    readonly long: Readonly<Record<string, string>>;
    readonly flags: Set<string>;
    readonly values: Map<string, string>;
  },
): void {
  const { letters, long, flags, values } = into;
  const [, name, given] = /^--([^=]+)(?:=([^]*))?$/.exec(word) ?? [];
  const known = name === undefined ? undefined : long[name];
  if (name !== undefined && known === undefined) throw new UsageError(`unrecognized option: ${word}`);
  let left = known === undefined ? word.slice(1) : known;
  while (left !== '') {
    const letter = left.slice(0, 1);
    left = left.slice(1);
    const at = letters.indexOf(letter);
    if (at < 0 || letter === ':') throw new UsageError(`unrecognized option: ${letter}`);
    if (letters[at + 1] !== ':') {
      flags.add(letter);
      continue;
    }
    const value = given ?? (left === '' ? rest.shift() : left);
    if (value === undefined) throw new UsageError(`option requires an argument: ${letter}`);
    values.set(letter, value);
    left = '';
  }
}

/** A whole number of an option. Throws a `UsageError`. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`invalid number '${text}'`);
  return Number(text);
}
