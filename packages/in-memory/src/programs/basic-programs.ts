import { DiskError } from '../fs/inode.js';
import type { Process } from '../process/process.js';
import { runNamed } from './run-named.js';
import type { Program, Programs } from './registry.js';
import { expr } from './expr.js';
import { UsageError } from './options.js';
import { formatArguments, unescape } from './printf-format.js';

const echo: Program = async (process) => {
  let words = process.args;
  let hasNewline = true;
  let isEscaped = false;
  while (/^-[neE]+$/.test(words[0] ?? '')) {
    const [option = ''] = words;
    if (option.includes('n')) hasNewline = false;
    if (option.includes('e')) isEscaped = true;
    words = words.slice(1);
  }
  const text = words.join(' ');
  const { text: shown, isEnd } = isEscaped ? unescape(text) : { text, isEnd: false };
  await process.write(hasNewline && !isEnd ? `${shown}\n` : shown);
  return 0;
};

const printf: Program = async (process) => {
  const [format, ...args] = process.args;
  if (format === undefined) throw new UsageError('usage: printf FORMAT [ARG]…');
  const { text, problem } = formatArguments(format, args);
  await process.write(text);
  return problem === undefined ? 0 : process.complain(problem);
};

/** `env`, and `env [-i] [-u NAME] [NAME=VALUE]… [PROGRAM [ARG]…]`. */
const env: Program = async (process) => {
  const rest = [...process.args];
  let values: Record<string, string> = { ...process.env };
  for (let word = rest[0]; word !== undefined; word = rest[0]) {
    if (word === '-i' || word === '-') values = {};
    else if (word === '-u') delete values[rest.splice(1, 1)[0] ?? ''];
    else if (/^[^=]+=/.test(word))
      values[word.slice(0, word.indexOf('='))] = word.slice(word.indexOf('=') + 1);
    else break;
    rest.shift();
  }
  const [program, ...args] = rest;
  if (program !== undefined) return runNamed(process, [program, ...args], { env: values });
  await process.write(
    Object.entries(values)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
  return 0;
};

const printenv: Program = async (process) => {
  const { args, env: values } = process;
  const names = args.length === 0 ? Object.keys(values) : args;
  let status = 0;
  for (const name of names) {
    const value = values[name];
    if (value === undefined) status = 1;
    else await process.write(args.length === 0 ? `${name}=${value}\n` : `${value}\n`);
  }
  return status;
};

/** The shell's own idea of where it is, when that is true: it may have come through a link. */
const pwd: Program = async (process) => {
  const { files, cwd, env: values, args } = process;
  const [logical = ''] = args.includes('-P') ? [] : [values['PWD']];
  const here = files.find(cwd);
  if (here === undefined) throw new DiskError('ENOENT', cwd);
  const isTrue = logical.startsWith('/') && files.find(logical) === here;
  await process.write(`${isTrue ? logical : files.realpath(cwd)}\n`);
  return 0;
};

const seq: Program = async (process) => {
  const args = [...process.args];
  let separator = '\n';
  for (let [, option] = /^-([sw])/.exec(args[0] ?? '') ?? []; option !== undefined;) {
    const word = args.shift() ?? '';
    if (option === 's') separator = word.length > 2 ? word.slice(2) : (args.shift() ?? separator);
    [, option] = /^-([sw])/.exec(args[0] ?? '') ?? [];
  }
  const numbers = args.map(Number);
  if (numbers.length === 0 || numbers.length > 3 || numbers.some(Number.isNaN))
    throw new UsageError('usage: seq [FIRST [STEP]] LAST');
  const last = numbers.at(-1) ?? 0;
  const first = numbers.length > 1 ? (numbers[0] ?? 1) : 1;
  const step = numbers.length > 2 ? (numbers[1] ?? 1) : 1;
  if (step === 0) throw new UsageError('the step is zero');
  const places = Math.max(...args.map((arg) => arg.split('.')[1]?.length ?? 0));
  let batch = '';
  for (let index = 0; ; index += 1) {
    const value = first + index * step;
    if (step > 0 ? value > last + 1e-9 : value < last - 1e-9) break;
    batch += `${index === 0 ? '' : separator}${value.toFixed(places)}`;
    if (batch.length < 4_096) continue;
    await process.write(batch);
    await process.system.breathe(process.signal);
    batch = '';
  }
  await process.write(`${batch}\n`);
  return 0;
};

const yes: Program = async (process) => {
  const line = `${process.args.join(' ') || 'y'}\n`;
  const batch = line.repeat(Math.max(1, Math.floor(1_024 / line.length)));
  for (;;) {
    await process.system.breathe(process.signal);
    await process.write(batch);
  }
};

async function eachPath(process: Process, change: (path: string) => string): Promise<number> {
  const [path] = process.args;
  if (path === undefined) throw new UsageError('an operand is missing');
  await process.write(`${change(path)}\n`);
  return 0;
}

const basename: Program = (process) =>
  eachPath(process, (path) => {
    const name = path.replace(/(?<=.)\/+$/, '').replace(/^.*\/(?=.)/s, '');
    const [, suffix = ''] = process.args;
    return suffix !== '' && name !== suffix && name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
  });

const dirname: Program = (process) =>
  eachPath(process, (path) => {
    const trimmed = path.replace(/(?<=.)\/+$/, '');
    if (!trimmed.includes('/')) return '.';
    return trimmed.replace(/\/+[^/]*$/, '') || '/';
  });

export const BASIC_PROGRAMS: Programs<'basic'> = {
  basename,
  dirname,
  echo,
  env,
  expr,
  false: async () => 1,
  printenv,
  printf,
  pwd,
  seq,
  true: async () => 0,
  yes,
};
