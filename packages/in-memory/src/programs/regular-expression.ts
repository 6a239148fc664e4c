import { CHARACTER_CLASSES } from '../shell/character-classes.js';
import { UsageError } from './options.js';

/** A set in brackets at the start of a text; undefined where none is closed. */
function bracket(text: string): { readonly source: string; readonly length: number } | undefined {
  const [whole, not, set] = /^\[(\^?)(\]?(?:\[[:.=][^\]]*[:.=]\]|[^\]])*)\]/.exec(text) ?? [];
  if (whole === undefined || set === undefined) return undefined;
  const source = set.replace(/\[:(\w+):\]|[\\\]^[]/g, (part, name?: string) =>
    name === undefined ? `\\${part}` : (CHARACTER_CLASSES[name] ?? ''),
  );
  return { source: `[${not ?? ''}${source}]`, length: whole.length };
}

const SWAPPED = '(){}|+?';

/** The source of a regular expression of ours for one of POSIX: basic, or extended. */
export function posixSource(pattern: string, isExtended: boolean): string {
  let source = '';
  for (let at = 0; at < pattern.length; at += 1) {
    const char = pattern[at] ?? '';
    const next = pattern[at + 1];
    if (char === '[') {
      const set = bracket(pattern.slice(at));
      source += set?.source ?? '\\[';
      at += (set?.length ?? 1) - 1;
    } else if (char === '\\' && next !== undefined) {
      at += 1;
      source += escaped(next, isExtended);
    } else if (SWAPPED.includes(char)) {
      source += isExtended ? char : `\\${char}`;
    } else if (char === '*' && (source === '' || /(^|[^\\])(\(|\|)$/.test(source) || source === '^')) {
      source += '\\*'; // where nothing can be repeated it stands for itself
    } else if (char === '^' && !isExtended && !/^$|(\(|\|)$/.test(source)) {
      source += '\\^';
    } else if (char === '$' && !isExtended && !/^(\\\)|\\\|)?$|^(\\\)|\\\|)/.test(pattern.slice(at + 1))) {
      source += '\\$';
    } else {
      source += char === '/' ? '\\/' : char;
    }
  }
  return source;
}

function escaped(char: string, isExtended: boolean): string {
  if (SWAPPED.includes(char)) return isExtended ? `\\${char}` : char;
  if (char === '<' || char === '>') return '\\b';
  if (/[bBwWsSntr\d]/.test(char)) return `\\${char}`;
  return /[\\^$.*[\]/-]/.test(char) ? `\\${char}` : char;
}

/** Throws a `UsageError` for a pattern that cannot be read. */
export function posixExpression(pattern: string, isExtended: boolean, flags = ''): RegExp {
  try {
    return new RegExp(posixSource(pattern, isExtended), flags);
  } catch {
    throw new UsageError(`bad regex '${pattern}'`);
  }
}
