import { join } from '../fs/file-system.js';
import type { Inode } from '../fs/inode.js';
import { whereIs } from '../process/find-program.js';
import type { Process } from '../process/process.js';
import { emptyFile } from '../process/regular-file.js';
import { statusOf } from '../process/status.js';
import { patternOf } from '../shell/pattern.js';
import { optionsOf, UsageError, wholeNumber } from './options.js';
import type { Program, Programs } from './registry.js';
import { runNamed } from './run-named.js';

interface Found {
  readonly path: string;
  readonly inode: Inode;
  isPruned: boolean;
}

type Test = (found: Found) => Promise<boolean> | boolean;

const glob = (pattern: string, isCaseless = false): ((text: string) => boolean) => {
  const expression = patternOf([{ text: pattern, isQuoted: false }]);
  const match = isCaseless ? new RegExp(expression.source, 'ui') : expression;
  return (text) => match.test(text);
};

function number(text: string): (value: number) => boolean {
  const wanted = wholeNumber(text.replace(/^[+-]/, ''));
  if (text.startsWith('+')) return (value) => value > wanted;
  return text.startsWith('-') ? (value) => value < wanted : (value) => value === wanted;
}

const KINDS: Readonly<Record<string, Inode['kind']>> = { f: 'file', d: 'directory', l: 'symlink' };
const UNITS: Readonly<Record<string, number>> = { c: 1, k: 1024, M: 1024 ** 2, G: 1024 ** 3, b: 512 };
const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** Reads the expression of `find` and answers one test for it all. */
class Expression {
  readonly #process: Process;
  readonly #words: string[];
  maxDepth = Infinity;
  minDepth = 0;
  isDepthFirst = false;
  #acts = false;

  constructor(process: Process, words: readonly string[]) {
    this.#process = process;
    this.#words = [...words];
  }

  read(): Test {
    const test = this.#words.length === 0 ? () => true : this.#or();
    if (this.#words.length > 0) throw new UsageError(`unrecognized: ${this.#words[0] ?? ''}`);
    if (this.#acts) return test;
    return async (found) => {
      if (await test(found)) await this.#process.write(`${found.path}\n`);
      return true;
    };
  }

  #or(): Test {
    let test = this.#and();
    while (this.#words[0] === '-o' || this.#words[0] === '-or') {
      this.#words.shift();
      const [left, right] = [test, this.#and()];
      test = async (found) => (await left(found)) || right(found);
    }
    return test;
  }

  #and(): Test {
    let test = this.#not();
    for (
      let [word] = this.#words;
      word !== undefined && !['-o', '-or', ')'].includes(word);
      [word] = this.#words
    ) {
      if (word === '-a' || word === '-and') this.#words.shift();
      const [left, right] = [test, this.#not()];
      test = async (found) => (await left(found)) && right(found);
    }
    return test;
  }

  #not(): Test {
    const word = this.#words.shift();
    if (word === '!' || word === '-not') {
      const test = this.#not();
      return async (found) => !(await test(found));
    }
    if (word === '(') {
      const test = this.#or();
      if (this.#words.shift() !== ')') throw new UsageError('missing )');
      return test;
    }
    return this.#primary(word ?? '');
  }

  #value(of: string): string {
    const value = this.#words.shift();
    if (value === undefined) throw new UsageError(`${of} requires an argument`);
    return value;
  }

  #primary(word: string): Test {
    switch (word) {
      case '-name':
      case '-iname': {
        const match = glob(this.#value(word), word === '-iname');
        return ({ path }) => match(nameOf(path));
      }
      case '-path': {
        const match = glob(this.#value(word));
        return ({ path }) => match(path);
      }
      case '-type': {
        const kind = KINDS[this.#value(word)];
        return ({ inode }) => inode.kind === kind;
      }
      case '-size': {
        const [, digits = '', unit = 'b'] = /^([+-]?\d+)([ckMGb]?)$/.exec(this.#value(word)) ?? [];
        const match = number(digits);
        return ({ inode }) => match(Math.ceil(inode.size / (UNITS[unit || 'b'] ?? 512)));
      }
      case '-mtime':
      case '-mmin': {
        const match = number(this.#value(word));
        const unitMs = word === '-mmin' ? 60_000 : 86_400_000;
        return ({ inode }) => match(Math.floor((this.#process.guest.now() - inode.mtimeMs) / unitMs));
      }
      default:
        return this.#factTest(word);
    }
  }

  #factTest(word: string): Test {
    switch (word) {
      case '-newer': {
        const { mtimeMs } = this.#process.files.stat(this.#process.path(this.#value(word)));
        return ({ inode }) => inode.mtimeMs > mtimeMs;
      }
      case '-perm': {
        const text = this.#value(word);
        const mode = Number.parseInt(text.replace(/^-/, ''), 8);
        return ({ inode }) => (text.startsWith('-') ? (inode.mode & mode) === mode : inode.mode === mode);
      }
      case '-user': {
        const { uid } = this.#process.system.accountNamed(this.#value(word));
        return ({ inode }) => inode.uid === uid;
      }
      case '-empty':
        return ({ inode }) => inode.kind !== 'symlink' && inode.size === 0;
      case '-maxdepth':
      case '-mindepth': {
        const depth = wholeNumber(this.#value(word));
        if (word === '-maxdepth') this.maxDepth = depth;
        else this.minDepth = depth;
        return () => true;
      }
      case '-depth':
        this.isDepthFirst = true;
        return () => true;
      case '-prune':
        return (found) => (found.isPruned = true);
      default:
        return this.#action(word);
    }
  }

  #action(word: string): Test {
    this.#acts = true;
    const process = this.#process;
    switch (word) {
      case '-print':
      case '-print0':
        return async ({ path }) => {
          await process.write(path + (word === '-print' ? '\n' : '\0'));
          return true;
        };
      case '-delete':
        this.isDepthFirst = true;
        return ({ path, inode }) => {
          const full = process.path(path);
          if (inode.kind === 'directory') process.files.rmdir(full);
          else process.files.unlink(full);
          return true;
        };
      case '-exec': {
        const end = this.#words.findIndex((each) => each === ';' || each === '+');
        if (end < 1) throw new UsageError('-exec requires a command and ;');
        const [program = '', ...args] = this.#words.splice(0, end + 1).slice(0, -1);
        return async ({ path }) => {
          const argv = [program, ...args.map((arg) => arg.replaceAll('{}', path))] as const;
          return statusOf(await runNamed(process, argv)) === 0;
        };
      }
      default:
        throw new UsageError(`unrecognized: ${word}`);
    }
  }
}

async function walk(
  process: Process,
  path: string,
  depth: number,
  rule: { test: Test; of: Expression },
): Promise<void> {
  await process.system.breathe(process.signal);
  const { test, of } = rule;
  const found: Found = { path, inode: process.files.lstat(process.path(path)), isPruned: false };
  const look = async (): Promise<void> => {
    if (depth >= of.minDepth) await test(found);
  };
  if (!of.isDepthFirst) await look();
  if (found.inode.kind === 'directory' && depth < of.maxDepth && !found.isPruned) {
    for (const name of process.files.readdir(process.path(path))) {
      await walk(process, join(path, name), depth + 1, rule);
    }
  }
  if (of.isDepthFirst) await look();
}

const find: Program = async (process) => {
  const begin = process.args.findIndex((word) => /^[-!(]/.test(word));
  const paths = begin < 0 ? process.args : process.args.slice(0, begin);
  const of = new Expression(process, begin < 0 ? [] : process.args.slice(begin));
  const test = of.read();
  for (const path of paths.length === 0 ? ['.'] : paths) await walk(process, path, 0, { test, of });
  return 0;
};

const which: Program = async (process) => {
  const { operands } = optionsOf(process, 'a');
  let status = 0;
  for (const name of operands) {
    const path = whereIs(name, process);
    if (path === undefined || process.files.find(path) === undefined) status = 1;
    else await process.write(`${path}\n`);
  }
  return status;
};

/** The items of an input: quoted words, whole lines, or what ends in a 0 byte. */
function itemsOf(text: string, isNull: boolean, isLines: boolean): string[] {
  const decoded = Buffer.from(text, 'latin1').toString();
  if (isNull) return decoded.split('\0').filter((item) => item !== '');
  if (isLines) return decoded.split('\n').filter((item) => item !== '');
  const words = decoded.matchAll(/(?:"[^"\n]*"|'[^'\n]*'|\\[^]|[^\s"'\\])+/g);
  return [...words].map(([word]) =>
    word.replace(/"([^"]*)"|'([^']*)'|\\([^])/g, (_, a = '', b = '', c = '') => `${a}${b}${c}`),
  );
}

const MOST_AT_ONCE = 4_096;

const xargs: Program = async (process) => {
  // Only what stands before the program is an option of xargs.
  const takesValue = new Set(['-n', '-I', '-L', '-P', '-d', '-s']);
  let at = 0;
  while (process.args[at]?.startsWith('-') === true) at += takesValue.has(process.args[at] ?? '') ? 2 : 1;
  const { flags, values } = optionsOf({ args: process.args.slice(0, at) }, '0rtn:I:L:P:d:s:');
  const [program = 'echo', ...fixed] = process.args.slice(at);
  const mark = values.get('I');
  const items = itemsOf(
    await process.readAll(process.descriptor(0)),
    flags.has('0'),
    mark !== undefined || values.has('L'),
  );
  const size =
    mark !== undefined ? 1 : wholeNumber(values.get('n') ?? values.get('L') ?? String(MOST_AT_ONCE));
  if (items.length === 0 && (flags.has('r') || mark !== undefined)) return 0;
  let status = 0;
  for (let from = 0; from === 0 || from < items.length; from += Math.max(1, size)) {
    const group = items.slice(from, from + Math.max(1, size));
    const args =
      mark === undefined ? [...fixed, ...group] : fixed.map((arg) => arg.replaceAll(mark, group[0] ?? ''));
    if (flags.has('t')) await process.write(`${[program, ...args].join(' ')}\n`, 2);
    const descriptors = new Map(
      [...process.descriptors].map(([fd, file]) => [fd, fd === 0 ? emptyFile() : file.retain()]),
    );
    const code = statusOf(await runNamed(process, [program, ...args], { descriptors }));
    if (code === 126 || code === 127) return code;
    if (code !== 0) status = 123;
    if (code === 255) return 124;
  }
  return status;
};

export const FIND_PROGRAMS: Programs<'find'> = { find, which, xargs };
