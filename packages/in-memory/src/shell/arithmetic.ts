import type { ArithmeticExpression } from 'unbash';
import { ShellError } from './shell-error.js';

/** What an expression works with. */
export interface ArithmeticContext {
  get(name: string): string;
  set(name: string, value: string): void;
  /** The text of a part of it that is no plain name or number, such as `$x` or `$(command)`. */
  expand(expression: ArithmeticExpression): Promise<string>;
  /** Reads a text as an expression. */
  parse(text: string): ArithmeticExpression | undefined;
}

const MAX_DEPTH = 64;
const NAME = /^[A-Za-z_]\w*$/;

const BINARY: Readonly<Record<string, (a: bigint, b: bigint) => bigint | boolean>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / nonZero(b),
  '%': (a, b) => a % nonZero(b),
  '<<': (a, b) => a << (b & 63n),
  '>>': (a, b) => a >> (b & 63n),
  '&': (a, b) => a & b,
  '|': (a, b) => a | b,
  '^': (a, b) => a ^ b,
  '<': (a, b) => a < b,
  '>': (a, b) => a > b,
  '<=': (a, b) => a <= b,
  '>=': (a, b) => a >= b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  ',': (_, b) => b,
};

function nonZero(value: bigint): bigint {
  if (value === 0n) throw new ShellError('divide by zero');
  return value;
}

const wrap = (value: bigint): bigint => BigInt.asIntN(64, value);

/** The value of an arithmetic expression, in 64 bits as a shell has it. */
export async function evaluate(
  expression: ArithmeticExpression | undefined,
  context: ArithmeticContext,
  depth = 0,
): Promise<bigint> {
  if (expression === undefined) return 0n;
  if (depth > MAX_DEPTH) throw new ShellError('arithmetic is nested too deeply');
  const next = (inner: ArithmeticExpression): Promise<bigint> => evaluate(inner, context, depth + 1);
  switch (expression.type) {
    case 'ArithmeticGroup':
      return next(expression.expression);
    case 'ArithmeticTernary':
      return next((await next(expression.test)) === 0n ? expression.alternate : expression.consequent);
    case 'ArithmeticUnary':
      return unary(expression, context, next);
    case 'ArithmeticBinary':
      return binary(expression, context, next);
    case 'ArithmeticWord':
    case 'ArithmeticCommandExpansion':
      return valueOf(await textOf(expression, context), context, depth);
  }
}

type Next = (inner: ArithmeticExpression) => Promise<bigint>;

async function unary(
  { operator, operand, prefix }: Extract<ArithmeticExpression, { type: 'ArithmeticUnary' }>,
  context: ArithmeticContext,
  next: Next,
): Promise<bigint> {
  if (operator === '++' || operator === '--') {
    const name = await nameOf(operand, context);
    const before = await next(operand);
    const after = wrap(operator === '++' ? before + 1n : before - 1n);
    context.set(name, String(after));
    return prefix ? after : before;
  }
  const value = await next(operand);
  if (operator === '-') return wrap(-value);
  if (operator === '~') return ~value;
  return operator === '!' ? BigInt(value === 0n) : value;
}

async function binary(
  { operator, left, right }: Extract<ArithmeticExpression, { type: 'ArithmeticBinary' }>,
  context: ArithmeticContext,
  next: Next,
): Promise<bigint> {
  if (operator === '&&') return BigInt((await next(left)) !== 0n && (await next(right)) !== 0n);
  if (operator === '||') return BigInt((await next(left)) !== 0n || (await next(right)) !== 0n);
  if (operator === '**') return power(await next(left), await next(right));
  const isComparison = /^[=!<>]=$/.test(operator);
  if (operator.endsWith('=') && !isComparison) {
    const name = await nameOf(left, context);
    const value = await next(right);
    const result = operator === '=' ? value : apply(operator.slice(0, -1), await next(left), value);
    context.set(name, String(result));
    return result;
  }
  return apply(operator, await next(left), await next(right));
}

function apply(operator: string, left: bigint, right: bigint): bigint {
  const operation = Object.hasOwn(BINARY, operator) ? BINARY[operator] : undefined;
  if (operation === undefined) throw new ShellError(`arithmetic: no operator ${operator}`);
  const value = operation(left, right);
  return typeof value === 'boolean' ? BigInt(value) : wrap(value);
}

function power(base: bigint, exponent: bigint): bigint {
  if (exponent < 0n) throw new ShellError('arithmetic: a negative exponent');
  let result = 1n;
  for (let left = exponent, factor = base; left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) result = wrap(result * factor);
    factor = wrap(factor * factor);
  }
  return result;
}

async function textOf(expression: ArithmeticExpression, context: ArithmeticContext): Promise<string> {
  const isPlain =
    expression.type === 'ArithmeticWord' &&
    expression.parts === undefined &&
    !/[$`\\'"]/.test(expression.value);
  return (isPlain ? expression.value : await context.expand(expression)).trim();
}

async function nameOf(expression: ArithmeticExpression, context: ArithmeticContext): Promise<string> {
  const name = expression.type === 'ArithmeticWord' ? await textOf(expression, context) : '';
  if (!NAME.test(name)) throw new ShellError('arithmetic: only a variable can be set');
  return name;
}

async function valueOf(text: string, context: ArithmeticContext, depth: number): Promise<bigint> {
  if (text === '') return 0n;
  if (/^0[0-7]*$/.test(text)) return wrap(BigInt(text.length > 1 ? `0o${text.slice(1)}` : 0));
  if (/^(\d+|0[xX][\dA-Fa-f]+)$/.test(text)) return wrap(BigInt(text));
  if (NAME.test(text)) return valueOfVariable(context.get(text), context, depth);
  const inner = context.parse(text);
  if (inner === undefined || inner.type === 'ArithmeticWord') throw new ShellError(`bad number "${text}"`);
  return evaluate(inner, context, depth + 1);
}

/** The value of a variable: a number, or an expression again. */
function valueOfVariable(text: string, context: ArithmeticContext, depth: number): Promise<bigint> {
  if (depth > MAX_DEPTH) throw new ShellError('arithmetic is nested too deeply');
  const value = text.trim();
  return value.startsWith('-') && /^-\d+$/.test(value)
    ? Promise.resolve(wrap(BigInt(value)))
    : valueOf(value, context, depth + 1);
}
