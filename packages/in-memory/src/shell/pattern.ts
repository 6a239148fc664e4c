import { CHARACTER_CLASSES } from './character-classes.js';

/** A piece of a word after its expansion: quoted text stands for itself, in patterns too. */
export interface Segment {
  readonly text: string;
  readonly isQuoted: boolean;
}

const SPECIAL = /[*?[]/;

/** Whether it has a character that a pattern takes for more than itself. */
export function hasPattern(segments: readonly Segment[]): boolean {
  return segments.some(({ text, isQuoted }) => !isQuoted && SPECIAL.test(text));
}

export function plainText(segments: readonly Segment[]): string {
  return segments.map(({ text }) => text).join('');
}

interface Char {
  readonly char: string;
  readonly isQuoted: boolean;
}

function charsOf(segments: readonly Segment[]): Char[] {
  const chars: Char[] = [];
  for (const { text, isQuoted } of segments) {
    const points = [...text];
    for (let at = 0; at < points.length; at += 1) {
      const char = points[at] ?? '';
      const next = points[at + 1];
      if (isQuoted || char !== '\\' || next === undefined) {
        chars.push({ char, isQuoted });
      } else {
        chars.push({ char: next, isQuoted: true });
        at += 1;
      }
    }
  }
  return chars;
}

function escape(char: string): string {
  return char.replace(/[\\^$.*+?()[\]{}|/-]/, '\\$&');
}

/** A set in brackets that begins behind `from`; undefined where it is not closed. */
function bracket(chars: readonly Char[], from: number): { source: string; next: number } | undefined {
  let at = from;
  let source = '';
  const first = chars[at];
  const isNegated = first !== undefined && !first.isQuoted && (first.char === '!' || first.char === '^');
  if (isNegated) at += 1;
  for (let isFirst = true; ; isFirst = false) {
    const item = chars[at];
    if (item === undefined) return undefined;
    if (item.char === ']' && !item.isQuoted && !isFirst) break;
    const rest = chars
      .slice(at, at + 12)
      .map(({ char }) => char)
      .join('');
    const named = item.isQuoted ? null : /^\[:([a-z]+):\]/.exec(rest);
    if (named !== null) {
      source += CHARACTER_CLASSES[named[1] ?? ''] ?? '';
      at += named[0].length;
      continue;
    }
    source += item.char === '-' && !item.isQuoted ? '-' : escape(item.char);
    at += 1;
  }
  // A hyphen at either end is a character of the set.
  source = source.replace(/^-/, '\\-').replace(/-$/, '\\-');
  if (source === '') return undefined;
  return { source: `[${isNegated ? '^' : ''}${source}]`, next: at + 1 };
}

/** The source of a regular expression for a pattern; lazy, `*` takes as few characters as it can. */
export function patternSource(segments: readonly Segment[], isLazy = false): string {
  const chars = charsOf(segments);
  let source = '';
  for (let at = 0; at < chars.length; at += 1) {
    const { char, isQuoted } = chars[at] as Char;
    const set = !isQuoted && char === '[' ? bracket(chars, at + 1) : undefined;
    if (set !== undefined) {
      source += set.source;
      at = set.next - 1;
    } else if (isQuoted) {
      source += escape(char);
    } else if (char === '*') {
      if (!source.endsWith('*') && !source.endsWith('*?')) source += isLazy ? '[^]*?' : '[^]*';
    } else {
      source += char === '?' ? '[^]' : escape(char);
    }
  }
  return source;
}

/** Matches a whole text. A set with an impossible range matches nothing. */
export function patternOf(segments: readonly Segment[]): RegExp {
  try {
    return new RegExp(`^(?:${patternSource(segments)})$`, 'u');
  } catch {
    return /(?!)/;
  }
}
