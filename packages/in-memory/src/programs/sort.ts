import { eachInput } from './inputs.js';
import { optionsOf, UsageError } from './options.js';
import type { Program } from './registry.js';

interface Key {
  /** The first and the last field, from 1. */
  readonly from: number;
  readonly to: number;
  readonly flags: string;
}

function keyOf(text: string): Key {
  const [, from, first = '', to, last = ''] =
    /^(\d+)(?:\.\d+)?([bdfinrhV]*)(?:,(\d+)(?:\.\d+)?([bdfinrhV]*))?$/.exec(text) ?? [];
  if (from === undefined || Number(from) === 0) throw new UsageError(`invalid key '${text}'`);
  return { from: Number(from), to: to === undefined ? Infinity : Number(to), flags: first + last };
}

const UNITS = 'KMGTP';

function numberOf(text: string, isHuman: boolean): number {
  const [, digits = '0', unit = ''] = /^\s*([-+]?\d*\.?\d*)([KMGTP]?)/.exec(text) ?? [];
  const value = Number(digits) || 0;
  return isHuman && unit !== '' ? value * 1024 ** (UNITS.indexOf(unit) + 1) : value;
}

function compareBy(flags: string): (a: string, b: string) => number {
  const sign = flags.includes('r') ? -1 : 1;
  const isHuman = flags.includes('h');
  if (flags.includes('n') || isHuman) return (a, b) => sign * (numberOf(a, isHuman) - numberOf(b, isHuman));
  const normal = (text: string): string => {
    const trimmed = flags.includes('b') ? text.trimStart() : text;
    return flags.includes('f') ? trimmed.toUpperCase() : trimmed;
  };
  if (flags.includes('V')) {
    const collator = new Intl.Collator('en', { numeric: true });
    return (a, b) => sign * collator.compare(a, b);
  }
  return (a, b) => {
    const [x, y] = [normal(a), normal(b)];
    return x < y ? -sign : x > y ? sign : 0;
  };
}

type Comparer = (a: string, b: string) => number;

/** Of lines: by their keys, and by all of them. */
function comparersOf(
  keys: readonly Key[],
  own: string,
  separator: string | undefined,
): { readonly byKeys: Comparer; readonly byBytes: Comparer } {
  const byBytes = compareBy(own.includes('r') ? 'r' : '');
  if (keys.length === 0) return { byKeys: compareBy(own), byBytes };
  const field = (line: string, { from, to }: Key): string => {
    const fields = separator === undefined ? (line.match(/\s*\S+/g) ?? []) : line.split(separator);
    return fields.slice(from - 1, to).join(separator ?? '');
  };
  const comparers = keys.map((key) => {
    const flags = key.flags === '' ? own : key.flags;
    const compare = compareBy(flags);
    const isTrimmed = separator === undefined && !/n|h/.test(flags);
    const value = (line: string): string => (isTrimmed ? field(line, key).trimStart() : field(line, key));
    return (a: string, b: string) => compare(value(a), value(b));
  });
  const byKeys: Comparer = (a, b) => {
    for (const compare of comparers) {
      const order = compare(a, b);
      if (order !== 0) return order;
    }
    return 0;
  };
  return { byKeys, byBytes };
}

/** `-k` may be given several times. */
function keysIn(args: readonly string[]): {
  readonly keys: readonly Key[];
  readonly rest: readonly string[];
} {
  const keys: string[] = [];
  const rest = args.filter((arg, at) => {
    if (args[at - 1] === '-k') keys.push(arg);
    else if (/^-k./.test(arg)) keys.push(arg.slice(2));
    else return arg !== '-k';
    return false;
  });
  return { keys: keys.map(keyOf), rest };
}

export const sort: Program = async (process) => {
  const { keys, rest } = keysIn(process.args);
  const { operands, flags, values } = optionsOf({ args: rest }, 'bcdfhimnrsuVzt:o:');
  const end = flags.has('z') ? '\0' : '\n';
  const own = [...'bfnrhV'].filter((letter) => flags.has(letter)).join('');
  const { byKeys, byBytes } = comparersOf(keys, own, values.get('t'));
  const byAll: Comparer = (a, b) => byKeys(a, b) || (flags.has('s') ? 0 : byBytes(a, b));
  let lines: string[] = [];
  const status = await eachInput(process, operands, async (file) => {
    const read = (await process.readAll(file)).split(end);
    if (read.at(-1) === '') read.pop();
    lines = lines.concat(read);
  });
  if (flags.has('c')) {
    const wrong = lines.findIndex((line, at) => at > 0 && byAll(lines[at - 1] ?? '', line) > 0);
    return wrong < 0 ? status : process.complain(`-:${wrong + 1}: disorder: ${lines[wrong] ?? ''}`);
  }
  lines.sort(byAll);
  if (flags.has('u')) lines = lines.filter((line, at) => at === 0 || byKeys(lines[at - 1] ?? '', line) !== 0);
  const text = lines.map((line) => line + end).join('');
  const output = values.get('o');
  if (output === undefined) await process.writeBytes(text);
  else process.files.writeFile(process.path(output), Buffer.from(text, 'latin1'));
  return status;
};
