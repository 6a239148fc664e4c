import type { TestExpression } from 'unbash';
import { absolute, type FileSystem } from '../fs/file-system.js';
import type { Inode } from '../fs/inode.js';
import { patternOf } from './pattern.js';
import { ShellError } from './shell-error.js';
import type { Shell } from './shell.js';

/** What tests of files and descriptors look at. */
export interface TestContext {
  readonly files: FileSystem;
  readonly cwd: string;
  isTerminal(descriptor: number): boolean;
}

type FileTest = (inode: Inode, files: FileSystem) => boolean;

const FILE_TESTS: Readonly<Record<string, FileTest>> = {
  '-a': () => true,
  '-e': () => true,
  '-f': ({ kind }) => kind === 'file',
  '-d': ({ kind }) => kind === 'directory',
  '-s': ({ size }) => size > 0,
  '-r': (inode, files) => files.mayRead(inode),
  '-w': (inode, files) => files.mayWrite(inode) && !files.tree.isReadOnly,
  '-x': (inode, files) => files.mayExecute(inode),
  '-u': ({ mode }) => (mode & 0o4000) !== 0,
  '-g': ({ mode }) => (mode & 0o2000) !== 0,
  '-k': ({ mode }) => (mode & 0o1000) !== 0,
  '-O': ({ uid }, files) => uid === files.user.uid,
  '-G': ({ gid }, files) => gid === files.user.gid,
  '-b': () => false,
  '-c': () => false,
  '-p': () => false,
  '-S': () => false,
};

const TEXT_TESTS: Readonly<Record<string, (text: string) => boolean>> = {
  '-n': (text) => text !== '',
  '-z': (text) => text === '',
};

const NUMBER_TESTS: Readonly<Record<string, (a: bigint, b: bigint) => boolean>> = {
  '-eq': (a, b) => a === b,
  '-ne': (a, b) => a !== b,
  '-lt': (a, b) => a < b,
  '-le': (a, b) => a <= b,
  '-gt': (a, b) => a > b,
  '-ge': (a, b) => a >= b,
};

const ORDER_TESTS: Readonly<Record<string, (a: string, b: string) => boolean>> = {
  '=': (a, b) => a === b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '>': (a, b) => a > b,
};

/** A test that is written wrongly: its status is 2. */
export class TestSyntaxError extends Error {}

function isUnary(operator: string | undefined): operator is string {
  if (operator === undefined) return false;
  return (
    Object.hasOwn(FILE_TESTS, operator) ||
    Object.hasOwn(TEXT_TESTS, operator) ||
    operator === '-t' ||
    operator === '-h' ||
    operator === '-L'
  );
}

function isBinary(operator: string | undefined): operator is string {
  if (operator === undefined) return false;
  return (
    Object.hasOwn(NUMBER_TESTS, operator) ||
    Object.hasOwn(ORDER_TESTS, operator) ||
    operator === '-nt' ||
    operator === '-ot' ||
    operator === '-ef'
  );
}

function unary(operator: string, text: string, context: TestContext): boolean {
  const onText = TEXT_TESTS[operator];
  if (onText !== undefined) return onText(text);
  if (operator === '-t') return context.isTerminal(Number(text));
  const { files, cwd } = context;
  const path = absolute(cwd, text);
  if (operator === '-h' || operator === '-L') {
    return files.find(path.replace(/[^/]+$/, '') || '/') !== undefined && isLink(files, path);
  }
  const inode = text === '' ? undefined : files.find(path);
  return inode !== undefined && FILE_TESTS[operator]?.(inode, files) === true;
}

function isLink(files: FileSystem, path: string): boolean {
  return files.locate(path, false).inode?.kind === 'symlink';
}

function binary(left: string, operator: string, right: string, context: TestContext): boolean {
  const onNumbers = NUMBER_TESTS[operator];
  if (onNumbers !== undefined) return onNumbers(integer(left), integer(right));
  const onTexts = ORDER_TESTS[operator];
  if (onTexts !== undefined) return onTexts(left, right);
  const [a, b] = [left, right].map((text) => context.files.find(absolute(context.cwd, text)));
  if (operator === '-ef') return a !== undefined && a === b;
  const [older, newer] = operator === '-nt' ? [b, a] : [a, b];
  return newer !== undefined && newer.mtimeMs > (older?.mtimeMs ?? -Infinity);
}

function integer(text: string): bigint {
  const trimmed = text.trim();
  if (!/^[+-]?\d+$/.test(trimmed)) throw new TestSyntaxError(`bad number '${text}'`);
  return BigInt(trimmed.replace(/^\+/, ''));
}

/** The arguments of `test`. Throws a `TestSyntaxError`. */
export function testArguments(args: readonly string[], context: TestContext): boolean {
  if (args.length === 0) return false;
  const parser = new TestParser(args, context);
  const value = parser.or();
  parser.insistAtEnd();
  return value;
}

class TestParser {
  readonly #args: readonly string[];
  readonly #context: TestContext;
  #at = 0;

  constructor(args: readonly string[], context: TestContext) {
    this.#args = args;
    this.#context = context;
  }

  insistAtEnd(): void {
    const rest = this.#peek();
    if (rest !== undefined) throw new TestSyntaxError(`${rest}: unknown operand`);
  }

  or(): boolean {
    let value = this.#and();
    while (this.#peek() === '-o') {
      this.#at += 1;
      value = this.#and() || value;
    }
    return value;
  }

  #and(): boolean {
    let value = this.#not();
    while (this.#peek() === '-a') {
      this.#at += 1;
      value = this.#not() && value;
    }
    return value;
  }

  #not(): boolean {
    if (this.#peek() !== '!' || this.#left < 2 || isBinary(this.#peek(1))) return this.#primary();
    this.#at += 1;
    return !this.#not();
  }

  #primary(): boolean {
    const [first, second, third] = [this.#peek(), this.#peek(1), this.#peek(2)];
    if (first === undefined) throw new TestSyntaxError('argument expected');
    if (isBinary(second) && third !== undefined) {
      this.#at += 3;
      return binary(first, second, third, this.#context);
    }
    if (first === '(' && this.#left > 2) {
      this.#at += 1;
      const value = this.or();
      if (this.#peek() !== ')') throw new TestSyntaxError('missing )');
      this.#at += 1;
      return value;
    }
    if (isUnary(first) && second !== undefined) {
      this.#at += 2;
      return unary(first, second, this.#context);
    }
    this.#at += 1;
    return first !== '';
  }

  get #left(): number {
    return this.#args.length - this.#at;
  }

  #peek(offset = 0): string | undefined {
    return this.#args[this.#at + offset];
  }
}

/** `[[ … ]]`. */
export async function testExpression(shell: Shell, expression: TestExpression): Promise<boolean> {
  const { expander, state, process } = shell;
  const context: TestContext = {
    files: process.files,
    cwd: state.cwd,
    isTerminal: (descriptor) => state.isTerminal(descriptor),
  };
  switch (expression.type) {
    case 'TestGroup':
      return testExpression(shell, expression.expression);
    case 'TestNot': {
      const value = await testExpression(shell, expression.operand);
      return expression.negations.length % 2 === 1 ? !value : value;
    }
    case 'TestLogical': {
      const isAnd = expression.operator === '&&';
      for (const operand of expression.operands) {
        if ((await testExpression(shell, operand)) !== isAnd) return !isAnd;
      }
      return isAnd;
    }
    case 'TestUnary': {
      const text = await expander.single(expression.operand);
      if (expression.operator === '-v') return state.get(text) !== undefined;
      return isUnary(expression.operator) && unary(expression.operator, text, context);
    }
    case 'TestBinary': {
      const { operator } = expression;
      const left = await expander.single(expression.left);
      if (operator === '=' || operator === '==' || operator === '!=') {
        const isMatch = patternOf(await expander.segments(expression.right)).test(left);
        return isMatch === (operator !== '!=');
      }
      const right = await expander.single(expression.right);
      if (operator === '=~') return new RegExp(right, 'u').test(left);
      if (!isBinary(operator)) throw new ShellError('[[: no such operator');
      return binary(left, operator, right, context);
    }
  }
}
