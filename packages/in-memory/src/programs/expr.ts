import type { Process } from '../process/process.js';
import { UsageError } from './options.js';
import { posixExpression } from './regular-expression.js';

const LEVELS: readonly (readonly string[])[] = [
  ['|'],
  ['&'],
  ['=', '==', '!=', '<', '<=', '>', '>='],
  ['+', '-'],
  ['*', '/', '%'],
  [':'],
];

/** `expr`: each argument is a part of one expression. */
export async function expr(process: Process): Promise<number> {
  const words = [...process.args];
  const value = level(words, 0);
  if (words.length > 0 || process.args.length === 0) throw new UsageError('syntax error');
  await process.write(`${value}\n`);
  return value === '' || value === '0' ? 1 : 0;
}

function level(words: string[], depth: number): string {
  const operators = LEVELS[depth];
  if (operators === undefined) return primary(words);
  let left = level(words, depth + 1);
  for (let [operator] = words; operator !== undefined && operators.includes(operator); [operator] = words) {
    words.shift();
    left = apply(operator, left, level(words, depth + 1));
  }
  return left;
}

function primary(words: string[]): string {
  const word = words.shift();
  if (word === undefined) throw new UsageError('syntax error');
  if (word === 'length') return String([...primary(words)].length);
  if (word === 'match') return match(primary(words), primary(words));
  if (word === 'substr') {
    const [text, from, length] = [primary(words), Number(primary(words)), Number(primary(words))];
    return [...text].slice(from - 1, from - 1 + length).join('');
  }
  if (word !== '(') return word;
  const value = level(words, 0);
  if (words.shift() !== ')') throw new UsageError('syntax error');
  return value;
}

const isFalse = (text: string): boolean => text === '' || text === '0';
const isNumber = (text: string): boolean => /^-?\d+$/.test(text);

function apply(operator: string, left: string, right: string): string {
  if (operator === '|') return isFalse(left) ? right : left;
  if (operator === '&') return isFalse(left) || isFalse(right) ? '0' : left;
  if (operator === ':') return match(left, right);
  if ('=!<>'.includes(operator.slice(0, 1))) return compare(operator, left, right) ? '1' : '0';
  if (!isNumber(left) || !isNumber(right)) throw new UsageError('non-numeric argument');
  const [a, b] = [BigInt(left), BigInt(right)];
  if ((operator === '/' || operator === '%') && b === 0n) throw new UsageError('division by zero');
  const values = { '+': () => a + b, '-': () => a - b, '*': () => a * b, '/': () => a / b, '%': () => a % b };
  return String(values[operator as keyof typeof values]());
}

function compare(operator: string, left: string, right: string): boolean {
  const isNumeric = isNumber(left) && isNumber(right);
  const order = isNumeric
    ? Number(BigInt(left) - BigInt(right))
    : Buffer.compare(Buffer.from(left), Buffer.from(right));
  if (operator === '<') return order < 0;
  if (operator === '<=') return order <= 0;
  if (operator === '>') return order > 0;
  if (operator === '>=') return order >= 0;
  return (order === 0) === (operator !== '!=');
}

function match(text: string, pattern: string): string {
  const found = posixExpression(`^\\(${pattern}\\)`, false).exec(text);
  if (found === null) return /\\\(/.test(pattern) ? '' : '0';
  // The first group is the whole.
  return found.length > 2 ? (found[2] ?? '') : String(found[0].length);
}
