import { UsageError } from './options.js';

const WHO: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o1007, a: 0o7777 };
const WHAT: Readonly<Record<string, number>> = { r: 0o444, w: 0o222, x: 0o111, s: 0o6000, t: 0o1000 };

/** A mode as chmod(1) takes it: octal, or clauses such as `u+x,go=r`. Throws a `UsageError`. */
export function parseMode(text: string, before: number, isFolder = false): number {
  if (/^[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8);
  let mode = before;
  for (const clause of text.split(',')) {
    const [, who = '', actions] = /^([ugoa]*)((?:[-+=][rwxXst]*)+)$/.exec(clause) ?? [];
    if (actions === undefined) throw new UsageError(`invalid mode '${text}'`);
    // Without a name it is all, less what the usual umask keeps back of writing.
    const mask = who === '' ? 0o7777 & ~0o022 : [...who].reduce((sum, one) => sum | (WHO[one] ?? 0), 0);
    for (const [, operator, letters = ''] of actions.matchAll(/([-+=])([rwxXst]*)/g)) {
      const allX = isFolder || (mode & 0o111) !== 0;
      const bits = [...letters].reduce(
        (sum, one) => sum | (one === 'X' ? (allX ? 0o111 : 0) : (WHAT[one] ?? 0)),
        0,
      );
      if (operator === '+') mode |= bits & mask;
      else if (operator === '-') mode &= ~(bits & mask);
      else mode = (mode & ~mask) | (bits & mask);
    }
  }
  return mode;
}

/** `drwxr-xr-x`. */
export function modeText(kind: string, mode: number): string {
  const type = kind === 'directory' ? 'd' : kind === 'symlink' ? 'l' : '-';
  const bits = [...'rwxrwxrwx'].map((letter, index) => ((mode >> (8 - index)) & 1 ? letter : '-'));
  const special = (at: number, bit: number, letter: string): void => {
    if ((mode & bit) !== 0) bits[at] = bits[at] === 'x' ? letter : letter.toUpperCase();
  };
  special(2, 0o4000, 's');
  special(5, 0o2000, 's');
  special(8, 0o1000, 't');
  return type + bits.join('');
}
