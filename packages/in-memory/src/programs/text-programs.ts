import { join } from '../fs/file-system.js';
import type { OpenFile } from '../process/open-file.js';
import type { Process } from '../process/process.js';
import { bytesOf, eachInput } from './inputs.js';
import { optionsOf, UsageError, wholeNumber } from './options.js';
import { posixSource } from './regular-expression.js';
import type { Program, Programs } from './registry.js';
import { sed } from './sed.js';

interface Search {
  readonly expression: RegExp;
  readonly flags: ReadonlySet<string>;
  readonly most: number;
  readonly before: number;
  readonly after: number;
  readonly hasNames: boolean;
}

function expressionOf(patterns: readonly string[], flags: ReadonlySet<string>): RegExp {
  const sources = patterns
    .flatMap((text) => text.split('\n'))
    .map((text) => {
      const bytes = bytesOf(text);
      const source = flags.has('F')
        ? bytes.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
        : posixSource(bytes, flags.has('E'));
      if (flags.has('x')) return `^(?:${source})$`;
      return flags.has('w') ? `(?<!\\w)(?:${source})(?!\\w)` : `(?:${source})`;
    });
  try {
    return new RegExp(sources.join('|'), flags.has('i') ? 'gi' : 'g');
  } catch {
    throw new UsageError(`bad regex '${patterns.join('\n')}'`);
  }
}

/** The files below a folder, where all of it is searched. */
function below(process: Process, path: string): string[] {
  const inode = process.files.find(process.path(path));
  if (inode?.kind !== 'directory') return [path];
  return process.files.readdir(process.path(path)).flatMap((name) => {
    const entry = join(path, name);
    return process.files.lstat(process.path(entry)).kind === 'symlink' ? [] : below(process, entry);
  });
}

const NO_MORE = 2;

async function searchFile(process: Process, file: OpenFile, name: string, search: Search): Promise<boolean> {
  const { expression, flags, most, before, after, hasNames } = search;
  const shownName = name === '-' ? '(standard input)' : name;
  const prefix = (at: number, mark: string): string =>
    (hasNames ? `${bytesOf(shownName)}${mark}` : '') + (flags.has('n') ? `${at}${mark}` : '');
  const held: [at: number, line: string][] = [];
  let [at, count, toShow, lastShown] = [0, 0, 0, 0];
  for await (const line of process.lines(file)) {
    at += 1;
    expression.lastIndex = 0;
    const isMatch = expression.test(line) !== flags.has('v');
    if (!isMatch) {
      if (toShow > 0) {
        toShow -= 1;
        lastShown = at;
        await process.writeBytes(`${prefix(at, '-')}${line}\n`);
      } else if (before > 0) {
        held.push([at, line]);
        if (held.length > before) held.shift();
      }
      continue;
    }
    count += 1;
    if (flags.has('q')) return true;
    if (!flags.has('c') && !flags.has('l') && !flags.has('L')) {
      const first = held[0]?.[0] ?? at;
      if ((before > 0 || after > 0) && lastShown > 0 && first > lastShown + 1) await process.write('--\n');
      for (const [number, text] of held.splice(0))
        await process.writeBytes(`${prefix(number, '-')}${text}\n`);
      const shown = flags.has('o') ? (line.match(expression) ?? []).filter((text) => text !== '') : [line];
      for (const text of shown) await process.writeBytes(`${prefix(at, ':')}${text}\n`);
      toShow = after;
      lastShown = at;
    }
    if (count >= most || flags.has('l')) break;
  }
  if (flags.has('l') && count > 0) await process.write(`${shownName}\n`);
  if (flags.has('L') && count === 0) await process.write(`${shownName}\n`);
  if (flags.has('c')) await process.writeBytes(`${hasNames ? `${bytesOf(shownName)}:` : ''}${count}\n`);
  return count > 0;
}

const grep: Program = async (process) => {
  // There may be several patterns.
  const patterns: string[] = [];
  const args = process.args.flatMap((arg, index, all) => {
    if (arg === '-e') return [];
    if (all[index - 1] !== '-e') return [arg];
    patterns.push(arg);
    return [];
  });
  const { operands, flags, values } = optionsOf({ args }, 'EFGHhiclLnoqrRsvwxm:A:B:C:f:a', {
    'extended-regexp': 'E',
    'fixed-strings': 'F',
    'ignore-case': 'i',
    'invert-match': 'v',
    'line-number': 'n',
    quiet: 'q',
    recursive: 'r',
    count: 'c',
  });
  const listed = values.get('f');
  if (listed !== undefined) {
    const text = process.files.readFile(process.path(listed)).toString().replace(/\n$/, '');
    patterns.push(...text.split('\n'));
  }
  const hasOwn = patterns.length > 0;
  const paths = hasOwn ? operands : operands.slice(1);
  if (!hasOwn) patterns.push(operands[0] ?? '');
  if (!hasOwn && operands.length === 0) throw new UsageError('a pattern is missing');
  const isRecursive = flags.has('r') || flags.has('R');
  const all = isRecursive
    ? (paths.length === 0 ? ['.'] : paths).flatMap((path) => below(process, path))
    : paths;
  const context = values.get('C') ?? '0';
  const search: Search = {
    expression: expressionOf(patterns, flags),
    flags,
    most: wholeNumber(values.get('m') ?? String(Number.MAX_SAFE_INTEGER).slice(0, 15)),
    before: wholeNumber(values.get('B') ?? context),
    after: wholeNumber(values.get('A') ?? context),
    hasNames: flags.has('H') || (!flags.has('h') && (isRecursive || all.length > 1)),
  };
  let isFound = false;
  const status = await eachInput(process, all, async (file, name) => {
    if (await searchFile(process, file, name, search)) isFound = true;
  });
  if (isFound && (status === 0 || flags.has('q'))) return 0;
  return status === 0 ? 1 : NO_MORE;
};

export const TEXT_PROGRAMS: Programs<'text'> = { grep, sed };
