import type { ParameterOperation, Word } from 'unbash';
import { patternSource, plainText, type Segment } from './pattern.js';
import { ShellError } from './shell-error.js';

interface Parameter {
  readonly name: string;
  readonly value: string | undefined;
  readonly assign: (text: string) => void;
  readonly segments: (word: Word | undefined) => Promise<Segment[]>;
  readonly number: (word: Word) => Promise<number>;
}

/** `${name:-word}` and its like. */
export async function applyOperation(
  operation: ParameterOperation,
  parameter: Parameter,
): Promise<Segment[]> {
  const { name, value = '' } = parameter;
  switch (operation.type) {
    case 'Default':
      return applyDefault(operation, parameter);
    case 'Remove':
      return unquoted(remove(operation.operator, value, await parameter.segments(operation.operand)));
    case 'Replace': {
      const source = patternSource(await parameter.segments(operation.pattern));
      const by = plainText(await parameter.segments(operation.replacement));
      return unquoted(replace(operation.operator, value, source, by));
    }
    case 'Slice': {
      const chars = [...value];
      const offset = await parameter.number(operation.offset);
      const from = offset < 0 ? Math.max(0, chars.length + offset) : offset;
      if (operation.length === undefined) return unquoted(chars.slice(from).join(''));
      const length = await parameter.number(operation.length);
      return unquoted(chars.slice(from, length < 0 ? chars.length + length : from + length).join(''));
    }
    case 'CaseModification': {
      const change = (text: string): string =>
        operation.operator.startsWith('^') ? text.toUpperCase() : text.toLowerCase();
      const isWhole = operation.operator.length === 2;
      return unquoted(isWhole ? change(value) : change(value.slice(0, 1)) + value.slice(1));
    }
    case 'Transform':
    case 'Names':
    case 'Unknown':
      throw new ShellError(`\${${name}${operation.operator}…}: not in sh`);
  }
}

async function applyDefault(
  { operator, operand }: Extract<ParameterOperation, { type: 'Default' }>,
  { name, value, assign, segments }: Parameter,
): Promise<Segment[]> {
  const isThere = value !== undefined && !(operator.startsWith(':') && value === '');
  const kind = operator.slice(-1);
  if (kind === '+') return isThere ? segments(operand) : [];
  if (isThere) return unquoted(value);
  const instead = await segments(operand);
  if (kind === '?') throw new ShellError(`${name}: ${plainText(instead) || 'parameter not set'}`);
  if (kind === '=') assign(plainText(instead));
  return instead;
}

function unquoted(text: string): Segment[] {
  return [{ text, isQuoted: false }];
}

function remove(operator: '#' | '##' | '%' | '%%', value: string, pattern: readonly Segment[]): string {
  const isLazy = operator.length === 1;
  const source = patternSource(pattern, isLazy);
  try {
    if (operator.startsWith('#')) return value.replace(new RegExp(`^(?:${source})`, 'u'), '');
    // A suffix: the shortest one begins as late as it can, which a lazy `*` alone does not bring about.
    const before = isLazy ? '^([^]*)' : '^([^]*?)';
    return value.replace(new RegExp(`${before}(?:${patternSource(pattern)})$`, 'u'), '$1');
  } catch {
    return value;
  }
}

function replace(operator: '/' | '//' | '/#' | '/%', value: string, source: string, by: string): string {
  const pattern = operator === '/#' ? `^(?:${source})` : operator === '/%' ? `(?:${source})$` : source;
  try {
    return value.replace(new RegExp(pattern, operator === '//' ? 'gu' : 'u'), () => by);
  } catch {
    return value;
  }
}
